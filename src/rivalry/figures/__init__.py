"""Figures of the report, one function each: from a data set's results to a drawing, its caption and its alt text."""
