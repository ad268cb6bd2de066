"""Computes the known answers of the minimal-metadata profile from their inputs,
and the refusals of its negative set, and compares the whole file octet by octet.

    python interop/mmrprofile FILE [OUTPUT]
"""

import hashlib
import json
import sys

import errors
import structs
from answers import Answers
from codec import change
from refused import Checks
from suite import Suite


def outcome(checks, check, data):
    try:
        checks.run(check, data)
    except errors.Refusal as e:
        return type(e).__name__
    return "nothing"


def again(checks, inputs, case):
    """The case with what this program makes of it."""
    base = checks.a.get(case["answer"])
    data = change(getattr(structs, case["struct"]), base, case["field"], case["change"], inputs)
    refused = outcome(checks, case["check"], data)
    unchanged = outcome(checks, case["check"], base)
    if unchanged != "nothing":
        refused = f"{unchanged} without a change"
    return {**case, "error": refused, "sha256": hashlib.sha256(data).hexdigest()}



def main(path, output=None):
    with open(path, "rb") as f:
        raw = f.read()
    want = json.loads(raw)
    made = {"profile": "MGP1", "suites": {}}
    wrong, answers, refused = [], 0, 0
    for name, suite in want["suites"].items():
        inputs = suite["inputs"]
        a = Answers(Suite(int(name, 16)), inputs)
        checks = Checks(a)
        cases = [again(checks, inputs, case) for case in suite["refused"]]
        made["suites"][name] = {"answers": a.out, "inputs": inputs, "refused": cases}
        for answer in sorted(a.out.keys() | suite["answers"].keys()):
            if a.out.get(answer) == suite["answers"].get(answer):
                answers += 1
            else:
                wrong.append(f"suite {name}: the answer {answer} is another one")
        for got, case in zip(cases, suite["refused"]):
            if got == case:
                refused += 1
            else:
                what = " / ".join(case[k] for k in ("answer", "field", "change", "check"))
                wrong.append(f"suite {name}: {what}: {got['error']}, where the file says {case['error']}")
    text = (json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    if output:
        with open(output, "wb") as f:
            f.write(text)
    print(f"{answers} known answers and {refused} negative cases agree")
    for line in wrong:
        print(line)
    if not wrong and text != raw:
        print("the values agree, and the files differ")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
