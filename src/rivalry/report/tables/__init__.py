"""The report's tables, made from report.json's facts; the page and the paper print the same ones.

A table is a function that takes the report's facts, and the data set if it is about one, and returns a `Table` or a
list of them. Where it stands is one line in `rivalry.report.sections`; one without rows is not shown.
"""
