"""Trains boosted trees with one learning rate and depth; judges them by three-fold cross-validation."""
import argparse
import json
import pickle

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_score


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--max-depth", type=int, required=True)
    parser.add_argument("--trees", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--metrics", required=True)
    args = parser.parse_args()

    table = np.loadtxt(args.features, delimiter=",")
    inputs, rings = table[:, :-1], table[:, -1]
    model = GradientBoostingRegressor(learning_rate=args.learning_rate, max_depth=args.max_depth, n_estimators=args.trees,
                                      subsample=0.5, random_state=args.seed)
    folds = KFold(n_splits=3, shuffle=True, random_state=args.seed)
    scores = -cross_val_score(model, inputs, rings, cv=folds, scoring="neg_root_mean_squared_error")
    model.fit(inputs, rings)

    with open(args.model, "wb") as out:
        pickle.dump(model, out, protocol=5)
    metrics = {"learning_rate": args.learning_rate, "max_depth": args.max_depth, "trees": args.trees, "rmse": round(float(scores.mean()), 6)}
    with open(args.metrics, "w", encoding="utf-8") as out:
        json.dump(metrics, out, indent=1, sort_keys=True)
        out.write("\n")
    print(f"learning rate {args.learning_rate}, depth {args.max_depth}, {args.trees} trees: rmse {metrics['rmse']} in cross-validation")


if __name__ == "__main__":
    main()
