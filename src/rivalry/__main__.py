from rivalry.cli import main

raise SystemExit(main())
