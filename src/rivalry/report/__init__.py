"""The report: what is collected, what stands where, and how the page and the paper are made of it.

`collecting.gather` assembles every number in report.json; `sections` says in which section which words, figures and
tables stand; `html` and `latex` fill the templates with them. Sections and templates hold words, no numbers.
"""
