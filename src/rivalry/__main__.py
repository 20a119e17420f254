import sys

from rivalry.forking import handed_over

status = handed_over(sys.argv[1:])
if status is None:
    from rivalry.cli import main

    status = main()
raise SystemExit(status)
