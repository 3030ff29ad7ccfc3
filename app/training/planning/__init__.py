"""What `nmt train --plan` prints and `--minutes` decides, computed before the first step."""
