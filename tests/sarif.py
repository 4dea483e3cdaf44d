"""Holds what `llmc check --error-format sarif` prints against the schema of SARIF 2.1.0.

    python3 tests/sarif.py sarif-schema-2.1.0.json target/debug/llmc

The schema is in the repository oasis-tcs/sarif-spec; the package `jsonschema` checks it, with
formats if `rfc3987` is there, too. Every spec of `tests/spec` is checked.
"""

import json
import pathlib
import subprocess
import sys

import jsonschema

schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
llmc = pathlib.Path(sys.argv[2]).resolve()
validator = jsonschema.validators.validator_for(schema)(
    schema, format_checker=jsonschema.FormatChecker()
)
n_logs = n_results = 0
for spec in sorted(pathlib.Path(__file__).parent.glob("spec/*/*.lt")):
    command = [llmc, "check", "--error-format", "sarif", spec.name]
    ended = subprocess.run(command, cwd=spec.parent, capture_output=True, text=True)
    log = next((line for line in ended.stderr.splitlines() if line.startswith("{")), None)
    if log is None:
        # A file that is no text, or too large for one, is refused before it is read.
        print(f"{spec.name}: no log, exit code {ended.returncode}: {ended.stderr.strip()[:90]}")
        continue
    log = json.loads(log)
    for error in validator.iter_errors(log):
        sys.exit(f"{spec.name}: {error.json_path}: {error.message}")
    n_logs += 1
    n_results += sum(len(run["results"]) for run in log["runs"])
print(f"{n_logs} logs with {n_results} results fit the schema")
