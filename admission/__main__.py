"""`python -m admission`: the command line."""

import sys

from admission.cli.main import main

sys.exit(main())
