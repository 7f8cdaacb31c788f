"""The command `osong` whose campaigns dock with the fake docker: what jobs of the tests run."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

if __name__ == "__main__":
    from osong.cli.main import app
    from osong_workflows.campaign import Campaign

    Campaign.__init__.__kwdefaults__["docker"] = "osong_fake_docker:build"
    app()
