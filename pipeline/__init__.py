"""wazn: severity-aware fine-tuning for Arabic medical text."""

import sys

if sys.platform == "win32":
    # A stage replaces its process by another; there DVC would take that for its end, and for success.
    sys.stderr.write("wazn runs on Linux and macOS; on Windows use it in WSL, which is Linux\n")
    raise SystemExit(2)
