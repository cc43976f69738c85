"""Requests that Schemathesis makes up from the server's own `/openapi.json`.

No answer may be a fault of the server, and each must be one that the description has: its status, type, headers and body.
"""

import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time

from harness import KEY, URL

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
]


def main():
    """Runs it in a folder of its own, and tells its verdict as one check."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{URL}/openapi.json", "--url", URL]
    command += ["--header", f"Authorization: Bearer {KEY}", "--checks", ",".join(CHECKS)]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "1", "--max-time", "15"]
    command += ["--request-timeout", "20", "--no-shrink", "--continue-on-failure", "--no-color"]
    # It keeps notes where it runs.
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    error = done.stdout[-8000:] if done.returncode else None
    line = {"client": "schemathesis", "version": importlib.metadata.version("schemathesis"), "check": "openapi"}
    print(json.dumps({**line, "error": error, "seconds": round(time.monotonic() - begun, 3)}))
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
