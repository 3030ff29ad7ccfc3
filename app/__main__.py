"""`python -m app`, the same as `nmt`."""

import sys

from app.cli import main

sys.exit(main())
