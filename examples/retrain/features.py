"""Makes features of measurements; what has to be learnt for them (means, deviations) is learnt from the --fit rows alone."""
import argparse

import numpy as np

NUMBERS = 7  # length … shell


def read(path):
    with open(path, encoding="utf-8") as rows:
        next(rows)
        return [line.rstrip("\n").split(",") for line in rows]


def derive(rows):
    """Measurements, their ratios and products, and the sex as three columns."""
    numbers = np.array([[float(cell) for cell in row[1:1 + NUMBERS]] for row in rows])
    length, diameter, height, whole, shucked, viscera, shell = numbers.T
    volume = length * diameter * height
    extra = np.column_stack([volume, whole / volume, shell / whole, shucked / whole, viscera / whole, np.sqrt(volume), np.log(whole)])
    sex = np.array([[row[0] == name for name in "MFI"] for row in rows], dtype=float)
    return np.column_stack([numbers, extra]), sex


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    fitted, _ = derive(read(args.fit))
    rows = read(args.rows)
    numbers, sex = derive(rows)
    scaled = (numbers - fitted.mean(axis=0)) / fitted.std(axis=0)
    rings = np.array([[float(row[-1])] for row in rows])
    np.savetxt(args.out, np.column_stack([scaled, sex, rings]), fmt="%.9g", delimiter=",")
    print(f"{len(rows)} rows, {scaled.shape[1] + sex.shape[1]} features")


if __name__ == "__main__":
    main()
