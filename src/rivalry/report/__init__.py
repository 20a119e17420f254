"""The report's facts and words: what is collected, how numbers are printed, how the page and the paper are made.

Templates hold words only; every number they print comes from `report.json`, which `collecting.gather` assembles.
"""
