"""What pkcs11-check found: compared with what is explained, and beside OpenSC's results, as a page.

record REPORT FILE              writes the outcome of every test of a run to FILE
compare REPORT DIRECTORY PAGE   compares a run with DIRECTORY's explained.toml, and writes PAGE with opensc.tsv beside it
"""

import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

# In this order in every table. pkcs11-check calls a finding what differs from its expectation without being clearly wrong.
OUTCOMES = {
    "passed": "passed",
    "skipped": "skipped, for want of a mechanism or function",
    "finding": "finding",
    "failed": "failed",
    "error": "failed before or after the test itself",
    "crash": "crash of the test's process or of one it started",
    "hang": "hang of such a process",
}
EXPLAINABLE = ("finding", "failed")


def main() -> int:
    match sys.argv[1:]:
        case ["record", report, file]:
            results, _ = read(Path(report))
            lines = (f"{outcome}\t{test}\n" for test, outcome in sorted(results.items()))
            Path(file).write_text("".join(lines))
            print(summary(results))
            return 0
        case ["compare", report, directory, page]:
            return compare(Path(report), Path(directory), Path(page))
    sys.exit(__doc__)


def read(report: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The outcome of each test of a run, and what was said about it."""
    results, messages = {}, {}
    for line in (report / "report.jsonl").open():
        record = json.loads(line)
        if record.get("$report_type") != "TestReport":
            continue
        test, message = name(record["nodeid"]), text(record)
        outcome = record["outcome"]
        if outcome == "passed" and record["when"] != "call":
            continue
        if outcome == "skipped" and "wasxfail" in record:
            outcome = "finding"
        if outcome == "failed" and record["when"] != "call":
            outcome = "error"
        # A test's own child process may crash or hang where the test does not.
        if outcome == "failed" and "crashed with signal" in message:
            outcome = "crash"
        if outcome == "failed" and re.search(r"SUBPROCESS_TIMEOUT|subprocess timeout|timed out after", message):
            outcome = "hang"
        results[test], messages[test] = outcome, message
    whole = json.loads((report / "results.json").read_text())
    for unit in whole["units"]:
        if unit["status"] in ("crashed", "timeout"):
            results[name(unit["target"])] = {"crashed": "crash", "timeout": "hang"}[unit["status"]]
    if whole["summary"]["incomplete"] or not results:
        sys.exit("pkcs11-check did not come to its end")
    unknown = set(results.values()) - OUTCOMES.keys()
    if unknown:
        sys.exit(f"outcomes that nobody knows what to do with: {unknown}")
    return results, messages


def name(nodeid: str) -> str:
    return nodeid.split("testcases/")[-1]


def text(record: dict) -> str:
    if "wasxfail" in record:
        return str(record["wasxfail"])
    match record.get("longrepr"):
        case None:
            return ""
        case [_, _, message]:
            return str(message).removeprefix("Skipped: ")
        case other:
            return json.dumps(other)


def summary(results: dict[str, str]) -> str:
    counts = Counter(results.values())
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES) + f" of {len(results)}"


def compare(report: Path, directory: Path, page: Path) -> int:
    results, messages = read(report)
    opensc = dict(reversed(line.split("\t")) for line in (directory / "opensc.tsv").read_text().splitlines())
    reasons = tomllib.loads((directory / "explained.toml").read_text())["explained"]
    explained = [test for reason in reasons for test in reason["tests"]]
    complaints = [f"explained twice: {test}" for test, times in Counter(explained).items() if times > 1]
    for test, outcome in sorted(results.items()):
        if outcome in ("error", "crash", "hang"):
            complaints.append(f"{outcome}: {test}\n    {messages.get(test, '')[:1000]}")
        elif outcome in EXPLAINABLE and test not in explained:
            complaints.append(f"{outcome}, and not explained: {test}\n    {messages[test][:1000]}")
    for test in explained:
        if results.get(test) not in EXPLAINABLE:
            complaints.append(f"explained, but {results.get(test, 'not run')}: {test}")
    page.parent.mkdir(exist_ok=True)
    page.write_text(render(results, messages, opensc, reasons))
    print(summary(results))
    print("\n".join(complaints) if complaints else "every finding is explained")
    return 1 if complaints else 0


def render(results: dict, messages: dict, opensc: dict, reasons: list) -> str:
    """The page. Generated, so that it cannot say anything that was not measured."""
    out = [
        "# Conformance",
        "",
        "<!-- Generated by `make conformance` from a run and tests/conformance/explained.toml. -->",
        "",
        "`make conformance` runs [pkcs11-check](https://pypi.org/project/pkcs11-check/) with `--skip-slow` against the module's",
        "authentication token on a practice card. It fails on a crash, on a hang, on any other finding that is not explained",
        "below, and on an explanation that is no longer needed. OpenSC's module has been run on the same card through pcscd",
        "(`tests/conformance/run --opensc`).",
        "",
        "A *finding* is an answer that differs from the one pkcs11-check expects without being clearly wrong, in its words an",
        "*xfail*. How many tests there are depends on what a module offers; most of those that OpenSC passes and this module does",
        "not are of digests, which OpenSC makes in software.",
        "",
        "What pkcs11-check cannot test, because it makes its own keys, is tested with the card's: signing, verifying and their",
        "lengths in `tests/entry_session.rs`, and the mandatory test cases of the profiles that the token claims in",
        "`tests/conformance/main.rs`.",
        "",
    ]
    ours, theirs = Counter(results.values()), Counter(opensc.values())
    out += table(
        ("outcome", "jpki-pkcs11", "OpenSC 0.23"),
        [(meaning, ours[outcome], theirs[outcome]) for outcome, meaning in OUTCOMES.items()]
        + [("**tests**", len(results), len(opensc))],
    )
    out += ["## What is explained", ""]
    for reason in reasons:
        out += [f"### {reason['title']}", "", f"> {reason['quote'].strip()}", ">", f"> — {reason['source']}", ""]
        out += [reason["because"].strip(), ""]
        out += table(
            ("test", "here", "OpenSC"),
            [(code(test), results.get(test, "—"), opensc.get(test, "—")) for test in reason["tests"]],
        )
    lost = sorted(test for test in opensc if opensc[test] == "passed" and results.get(test, "skipped") == "skipped")
    out += [
        "## What passes with OpenSC and is skipped here",
        "",
        "pkcs11-check skips a test when the module does not offer what it needs. What passes with OpenSC and fails here is",
        "in the tables above.",
        "",
    ]
    out += table(
        ("test", "pkcs11-check's reason"),
        [(code(test), messages.get(test, "made only for a mechanism that is offered").split("\n")[0]) for test in lost],
    )
    for outcome in ("crash", "hang"):
        there = sorted(test for test in opensc if opensc[test] == outcome)
        out += [f"## OpenSC: {outcome}", ""]
        out += table(("test", "here"), [(code(test), results.get(test, "not run")) for test in there])
    return "\n".join(out).rstrip() + "\n"


def table(head: tuple, rows: list[tuple]) -> list[str]:
    if not rows:
        return ["None.", ""]
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines] + [""]


def code(test: str) -> str:
    return f"`{test}`"


if __name__ == "__main__":
    sys.exit(main())
