"""Reads the raw measurements, drops impossible rows, and splits them into train and test."""
import argparse
import csv
import random

COLUMNS = ["sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings"]


def possible(row):
    """A height of nothing, or of more than the length, is a slip of the pen."""
    length, height = float(row[1]), float(row[3])
    return row[0] in ("M", "F", "I") and 0 < height < length


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--test-percent", type=int, required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    args = parser.parse_args()

    with open(args.raw, newline="", encoding="utf-8") as raw:
        rows = [row for row in csv.reader(raw) if row]
    kept = [row for row in rows if possible(row)]
    random.Random(args.seed).shuffle(kept)
    tests = len(kept) * args.test_percent // 100
    write(args.test, kept[:tests])
    write(args.train, kept[tests:])
    print(f"{len(rows)} rows read, {len(rows) - len(kept)} dropped, {len(kept) - tests} to train, {tests} to test")


if __name__ == "__main__":
    main()
