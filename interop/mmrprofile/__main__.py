"""Makes the known answers of the profile, and compares them with a file of them (section 13).

    python mmrprofile QUESTIONS.json OUTPUT.json    makes the answers to the inputs
    python mmrprofile ANSWERS.json [OUTPUT.json]    makes them, and compares with the file
"""

import json
import sys

import answers
import changes
import checks
from suite import sha256


def refuse(scene, case):
    """Make a negative case: the hash of the changed structure, and what refuses it."""
    original, changed = changes.apply(scene, case)
    error = checks.run(scene, case["check"], changed, original)
    before = checks.run(scene, case["check"], original, original)
    if before != "nothing":
        error = f"{before} without a change"
    return {**case, "sha256": sha256(changed).hex(), "error": error}


def make_suite(name, asked):
    scene = answers.make(name, asked["inputs"])
    return {"inputs": asked["inputs"],
            "answers": {name: answer.hex() for name, answer in scene.answers.items()},
            "refused": [refuse(scene, case) for case in asked["refused"]]}


def make_file(asked):
    """Make the file anew from the inputs of one, and from what its negative cases change."""
    return {"profile": "MGP1",
            "suites": {name: make_suite(name, suite) for name, suite in asked["suites"].items()}}


def dump(value):
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def wrong_answers(name, made, asked):
    """Describe each answer of a suite that is another one in the file, or in one of both."""
    for answer in sorted(set(made["answers"]) | set(asked["answers"])):
        if made["answers"].get(answer) != asked["answers"].get(answer):
            yield f"suite {name}: the answer {answer} is another one"


def wrong_cases(name, made, asked):
    """Describe each negative case of a suite that is another one in the file."""
    for ours, theirs in zip(made["refused"], asked["refused"]):
        case = " / ".join(ours[key] for key in ("answer", "field", "change", "check"))
        if ours["error"] != theirs["error"]:
            yield f"suite {name}: {case}: {ours['error']}, where the file says {theirs['error']}"
        elif ours["sha256"] != theirs["sha256"]:
            yield f"suite {name}: {case}: another structure is hashed"


def compare(made, asked, octets):
    """Print how far a file agrees, and return the exit status."""
    lines, answer_count, case_count = [], 0, 0
    for name, suite in made["suites"].items():
        bad_answers = list(wrong_answers(name, suite, asked["suites"][name]))
        bad_cases = list(wrong_cases(name, suite, asked["suites"][name]))
        answer_count += len(suite["answers"]) - len(bad_answers)
        case_count += len(suite["refused"]) - len(bad_cases)
        lines += bad_answers + bad_cases
    print(f"{answer_count} known answers and {case_count} negative cases agree")
    if not lines and dump(made).encode() != octets:
        lines = ["the values agree, and the files differ"]
    for line in lines:
        print(line)
    return 1 if lines else 0


def main(source, target=None):
    with open(source, "rb") as file:
        octets = file.read()
    asked = json.loads(octets)
    made = make_file(asked)
    if target:
        with open(target, "w", encoding="utf-8", newline="\n") as file:
            file.write(dump(made))
    has_answers = all(isinstance(suite["answers"], dict) for suite in asked["suites"].values())
    return compare(made, asked, octets) if has_answers else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
