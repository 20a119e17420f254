"""What each step of the pipeline does: plain functions from files to files, one module a stage.

The command line parses arguments and calls them; Snakemake calls the command line.
"""
