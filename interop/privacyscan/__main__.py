"""Searches the recordings of "mimi-lab privacy" a second time.

It shares no code with the scanner of the lab, and goes the other way round: that one
writes what it looks for in every encoding, this one undoes encodings wherever the
octets look like one, and then looks for the plain text.

    python3 interop/privacyscan FOLDER             compares all verdicts
    python3 interop/privacyscan FOLDER --plant 100 plants an identifier, in copies

It ends with status 1 if it disagrees with the lab, if the hub has an identifier, if
anything has a secret, or if something planted is not found.
"""

import argparse
import json
import pathlib
import sys

import cells
import layers
import plant


def main() -> int:
    parser = argparse.ArgumentParser(prog="privacyscan")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--plant", type=int, default=0, metavar="N", help="plant N times in each encoding")
    options = parser.parse_args()
    recording = json.loads((options.folder / "recording.json").read_text(encoding="utf-8"))
    complaints = compare(options.folder, recording)
    if options.plant:
        complaints += plant.run(options.folder, recording, options.plant)
    for complaint in complaints[:50]:
        print("privacyscan:", complaint)
    return 1 if complaints else 0


def compare(folder: pathlib.Path, recording: dict) -> list[str]:
    """Searches every file, and compares what is found with what the lab has found."""
    needles = layers.needles(recording)
    secrets = {n["name"] for n in recording["secrets"]}
    hub, complaints, octets, verdicts, hits = set(recording["hub"]), [], 0, 0, 0
    if not recording["hub"] or not needles or not set(recording["hub"]) <= set(recording["all"]):
        return ["there is nothing to search"]
    for name in recording["all"]:
        data = (folder / name).read_bytes()
        octets += len(data)
        found = layers.search(data, needles)
        theirs = set(recording["found"].get(name, []))
        for needle in found ^ theirs:
            who = "the lab" if needle in theirs else "privacyscan"
            complaints.append(f"only {who} finds {needle} in {name}")
        verdicts += len(needles)
        hits += len(found)
        complaints += judge(name, found, secrets, name in hub)
    for database in [n for n in recording["all"] if n.endswith("gateway.db")]:
        data = cells.read(folder / database)
        found = layers.search(data, needles)
        octets += len(data)
        known = set(recording["found"].get(database, [])) | set(recording["found"].get(database + "-wal", []))
        for needle in found - known:
            complaints.append(f"{needle} is in a cell of {database}, and the lab does not find it in the file")
        complaints += judge("a cell of " + database, found, secrets, database in hub)
    print(
        f"privacyscan: {octets} octets in {len(recording['all'])} files, {len(needles)} identifiers and secrets: "
        f"{verdicts} verdicts, {hits} of them found, {'all agree' if not complaints else 'NOT ALL AGREE'}"
    )
    return complaints


def judge(name: str, found: set[str], secrets: set[str], hub: bool) -> list[str]:
    """Says what must not have been found."""
    return [f"{n} is in {name}, which the hub has" for n in found if hub and n not in secrets] + [
        f"{n} is in {name}" for n in found & secrets
    ]


if __name__ == "__main__":
    sys.exit(main())
