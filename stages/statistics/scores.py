"""Predictions, truths and row weights in; scores out, for many resamples at once.

Every score takes `weights_RN`: how often each of N rows stands in each of R resamples, and
returns float64 [R], NaN where the score is not defined (one class only, say).
"""

import numpy as np

EPSILON = 1e-7


def mean(values_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    return np.asarray((weights_RN @ values_N) / weights_RN.sum(1))


def root_mean(values_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(mean(values_N, weights_RN)))


def r_squared(guess_N: np.ndarray, truth_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """The share of the variance that a guess explains; below 0 where the mean of these rows would do better."""
    centred_N = truth_N - truth_N.mean()  # of far-off values the difference of two squares would be noise
    spread = mean(centred_N**2, weights_RN) - mean(centred_N, weights_RN) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1.0 - mean((truth_N - guess_N) ** 2, weights_RN) / spread)


def log_loss_rows(probabilities_NC: np.ndarray, truth_N: np.ndarray) -> np.ndarray:
    """Each row's -log p(truth), p held above 1e-7. Of soft truths [N, C] the mean over the classes' shares."""
    if truth_N.ndim == 2:
        return np.asarray(-(truth_N * np.log(np.clip(probabilities_NC.astype(np.float64), EPSILON, 1.0))).sum(1))
    chosen = probabilities_NC[np.arange(len(truth_N)), truth_N]
    return np.asarray(-np.log(np.clip(chosen.astype(np.float64), EPSILON, 1.0)))


def brier_rows(probabilities_NC: np.ndarray, truth_N: np.ndarray) -> np.ndarray:
    """Each row's squared distance to the one-hot truth, or to soft truths [N, C]: 0 … 2 (Brier 1950)."""
    hit = truth_N if truth_N.ndim == 2 else np.eye(probabilities_NC.shape[1])[truth_N]
    return np.asarray(((probabilities_NC - hit) ** 2).sum(1))


def tie_starts(sorted_scores: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.concatenate([[True], np.diff(sorted_scores) != 0]))


def roc_auc(scores_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half."""
    order = np.argsort(scores_N, kind="stable")
    starts = tie_starts(scores_N[order])
    weights = weights_RN[:, order].astype(np.float64)
    positives = np.add.reduceat(weights * positive_N[order], starts, axis=1)
    negatives = np.add.reduceat(weights * ~positive_N[order], starts, axis=1)
    below = np.cumsum(negatives, 1) - negatives
    pairs = positives.sum(1) * negatives.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positives * (below + negatives / 2)).sum(1) / pairs)


def average_precision(scores_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Mean precision over the positives, as scikit-learn's average_precision_score."""
    order = np.argsort(-scores_N, kind="stable")
    starts = tie_starts(-scores_N[order])
    weights = weights_RN[:, order].astype(np.float64)
    positives = np.add.reduceat(weights * positive_N[order], starts, axis=1)
    everything = np.add.reduceat(weights, starts, axis=1)
    precision = np.cumsum(positives, 1) / np.maximum(np.cumsum(everything, 1), EPSILON)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((precision * positives).sum(1) / positives.sum(1))


def f1(guess_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """2·TP / (2·TP + FP + FN) of two boolean arrays."""
    both = weights_RN @ (guess_N & positive_N).astype(np.float64)
    either = weights_RN @ guess_N.astype(np.float64) + weights_RN @ positive_N.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2 * both / either)


def macro_f1(guess_N: np.ndarray, truth_N: np.ndarray, num_classes: int, weights_RN: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that a resample holds, as truth or as guess, as scikit-learn's f1_score."""
    each = [f1(guess_N == label, truth_N == label, weights_RN) for label in range(num_classes)]
    return np.asarray(np.nanmean(each, axis=0))
