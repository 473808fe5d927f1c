"""Figures of recognition from scores: pure functions over arrays, for the benchmarks and `picturematch calibrate`.

scores   rates and thresholds of genuine and impostor scores
pairs    the scores of all pairs among many vectors
folds    the accuracy of a verification protocol
counted  the same rates from counted scores, in bounded memory
paired   whether one of two systems is better, on the same trials
curve    an embedder's curve of false match rates
openset  searches for enrolled people and for strangers
reject   how well a quality score predicts failures
photos   the embedding and quality of one photo

In every module a score is a cosine, and a pair matches when its score is at least the threshold.
"""
