"""Compares the models on rows that none of them has seen: a report with a plot. The same bytes whenever it is made."""
import argparse
import json
import os
import pickle

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def plot(path, predicted, rings, name):
    figure, axes = plt.subplots(figsize=(6, 6), dpi=100)
    axes.scatter(rings, predicted, s=6, alpha=0.4, color="#1f77b4")
    top = float(max(rings.max(), predicted.max()))
    axes.plot([0, top], [0, top], color="#888888", linewidth=1)
    axes.set_xlabel("rings counted")
    axes.set_ylabel("rings predicted")
    axes.set_title(name)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None, "Creation Time": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True, help="a folder with a model an instance of train")
    parser.add_argument("--metrics", required=True, help="a folder with the metrics of each")
    parser.add_argument("--features", required=True)
    parser.add_argument("--validation-rmse", required=True, help="a JSON list, one number an instance of train")
    parser.add_argument("--report", required=True)
    args = parser.parse_args()

    table = np.loadtxt(args.features, delimiter=",")
    inputs, rings = table[:, :-1], table[:, -1]
    rows, predictions = [], {}
    for name in sorted(os.listdir(args.models)):
        with open(os.path.join(args.models, name), "rb") as file:
            predictions[name] = pickle.load(file).predict(inputs)
        with open(os.path.join(args.metrics, name), encoding="utf-8") as file:
            validation = json.load(file)["rmse"]
        rows.append((name, validation, float(np.sqrt(np.mean((predictions[name] - rings) ** 2)))))
    best = min(rows, key=lambda row: row[1])
    assert best[1] == min(json.loads(args.validation_rmse)), "values and metrics are of the same instances"

    os.makedirs(args.report, exist_ok=True)
    plot(os.path.join(args.report, "predicted.png"), predictions[best[0]], rings, best[0])
    with open(os.path.join(args.report, "report.md"), "w", encoding="utf-8") as out:
        out.write("# Abalone: the age by its measurements\n\n| model | rmse, cross-validation | rmse, test |\n|---|---|---|\n")
        for name, validation, test in rows:
            out.write(f"| {name} | {validation:.4f} | {test:.4f} |\n")
        out.write(f"\nBest in cross-validation: **{best[0]}**, {best[2]:.4f} rings on {len(rings)} rows it has not seen.\n\n![predicted](predicted.png)\n")
    print(f"best of {len(rows)}: {best[0]}, rmse {best[2]:.4f} on {len(rings)} rows")


if __name__ == "__main__":
    main()
