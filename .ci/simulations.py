"""Simulations whose truth is known: what the statistics find, before and now.

    python .ci/simulations.py              all of them, some minutes on one core
    python .ci/simulations.py one_truth    these only; the rest of the file stays

Writes nbs/study/simulations.json, which nbs/simulations.ipynb shows. Functions called `old_...`
follow the rules of version 0.1, which the new ones replace.
"""
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, softmax

from emotion_recognition.all import (
    FERPLUS8,
    METRICS,
    Predictions,
    crossed_interval,
    human_ceiling,
    write_atomically,
)

RESULTS = Path(__file__).resolve().parent.parent/'nbs/study/simulations.json'

# ---- a world of faces: three kinds, each with a Dirichlet distribution over FER+'s emotions

WEIGHTS = np.array([.45, .35, .20])
ALPHAS = np.array([[.3, 9., .3, .1, .1, .05, .1, .05],   # nearly all say happiness
                   [6., .4, .4, 2.5, .8, .3, .3, .6],    # neutral or sadness
                   [.5, .2, .9, .6, .9, .5, .9, .3]])    # anything, strongly or divided
COMMON = WEIGHTS@(ALPHAS/ALPHAS.sum(1, keepdims=True))


def draw_faces(n, rng):
    "True shares [n,8]."
    kinds = rng.choice(3, n, p=WEIGHTS)
    return np.stack([rng.dirichlet(ALPHAS[kind]) for kind in kinds])


def bayes_answer(votes):
    "The exact posterior mean [N,8] of the true shares: nothing better can be made of the votes."
    total, strength = votes.sum(1)[:, None], ALPHAS.sum(1)
    each = gammaln(votes[:, None]+ALPHAS)-gammaln(ALPHAS) # [N,3,8]
    fit = np.log(WEIGHTS)+gammaln(strength)-gammaln(strength+total)+each.sum(2)
    means = (votes[:, None]+ALPHAS)/(strength+total)[..., None]
    return (softmax(fit, 1)[..., None]*means).sum(1)


def answers(truth, people, rng):
    "Bayes answers from so many hidden people."
    return bayes_answer(rng.multinomial(people, truth).astype(float))


def predictions(probs, votes, target=None):
    "Predictions for simulated faces."
    target = votes/votes.sum(1, keepdims=True) if target is None else target
    return Predictions(range(len(probs)), probs, target, FERPLUS8, votes, dict(run='model'))


# ---- the rules of version 0.1

def old_prior_strength(votes, mean):
    "Strength of one Dirichlet prior about the mean vote."
    def cost(log_strength):
        s, n, a = np.exp(log_strength), votes.sum(1), np.exp(log_strength)*mean
        return -(gammaln(s)-gammaln(s+n)+(gammaln(votes+a)-gammaln(a)).sum(1)).sum()
    return np.exp(minimize_scalar(cost, bounds=(-6, 6), method='bounded').x)


def old_read(people, mean, strength, metric):
    "The mean vote of n people; for KL, smoothed by the prior."
    if metric == 'kl':
        return (people+strength*mean)/(people.sum(1, keepdims=True)+strength)
    return people/people.sum(1, keepdims=True)


def split_votes(votes, n, rng):
    "Counts of n people of each face, and of the others; all faces have equally many votes."
    ballots = np.stack([np.repeat(np.arange(8), row) for row in votes.astype(int)])
    ballots = rng.permuted(ballots, axis=1)
    people = (ballots[:, :n, None] == np.arange(8)).sum(1)
    return people, votes-people


def old_worth(probs, votes, metric, seed=0):
    "How many people's score the model's score equals, on straight lines from one person up."
    rng, mean, compute = np.random.default_rng(seed), votes.mean(0), METRICS[metric].compute
    mean, gains = mean/mean.sum(), []
    strength = old_prior_strength(votes, mean) if metric == 'kl' else None
    for n in range(1, int(votes[0].sum())):
        people, others = split_votes(votes, n, rng)
        target = others/others.sum(1, keepdims=True)
        by_people = compute(old_read(people, mean, strength, metric), target).mean()
        gains.append(compute(probs, target).mean()-by_people)
        if gains[-1] >= 0:
            return 0. if n == 1 else n-1 + gains[-2]/(gains[-2]-gains[-1])
    return np.inf


def old_calibration_error(probs, target, bins=10):
    "Bins of equally many faces in the order of the file, whatever ties."
    parts = np.array_split(np.argsort(probs, kind='stable'), bins)
    return sum(abs(probs[part].mean()-target[part].mean())*len(part) for part in parts)/len(probs)


# ---- one function per promise; each gives rows

def row(setting, before, after, truth, coverage=None):
    "One line of a table; means over repetitions."
    return dict(setting=setting, before=before, after=after, truth=truth, coverage=coverage)


def covers(interval, truth):
    return interval.low <= truth <= interval.high


def many(faces, people, votes, metric, repeats, old_metric=None):
    "Worth of Bayes answers from hidden people: before, after, coverage."
    before, found = [], []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        truth = draw_faces(faces, rng)
        probs, drawn = answers(truth, people, rng), rng.multinomial(votes, truth).astype(float)
        before.append(old_worth(probs, drawn, old_metric or metric, seed))
        found.append(human_ceiling(predictions(probs, drawn), [metric]).equivalence[metric])
    after = float(np.mean([x.value for x in found]))
    coverage = float(np.mean([covers(x, people) for x in found]))
    return float(np.mean(before)), after, people, coverage


def votes_do_not_matter():
    "The same model under more and more votes; before by total variation, after by KL."
    for votes in [4, 10, 20, 40]:
        yield row(f'Bayes answers of 2 people, {votes} votes a face',
                  *many(2000, 2, votes, 'kl', 5, old_metric='total_variation'))


def hidden_people():
    "Exact Bayes answers from hidden people are worth as many."
    for metric in ['kl', 'mse']:
        for votes in [4, 10, 40]:
            for people in [1, 2, 4]:
                found = many(2000, people, votes, metric, 10)
                yield row(f'{metric}: answers of {people}, {votes} votes a face', *found)


def part_of_a_person():
    "The answer of one person for a part of the faces, the mean of all for the rest."
    for part in [.25, .5, .75]:
        before, found = [], []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            truth = draw_faces(2000, rng)
            votes = rng.multinomial(10, truth).astype(float)
            asked = rng.permutation(2000)[:, None] < part*2000
            probs = np.where(asked, answers(truth, 1, rng), COMMON)
            before.append(old_worth(probs, votes, 'kl', seed))
            found.append(human_ceiling(predictions(probs, votes), ['kl']).equivalence['kl'])
        yield row(f'one person for {part:.0%} of the faces', float(np.mean(before)),
                  float(np.mean([x.value for x in found])), part,
                  float(np.mean([covers(x, part) for x in found])))


def mean_votes():
    "The mean vote of k further people, by squared error, where people are read as their mean vote."
    for people, several in [(1.5, 2/3), (2, 1.), (3, None)]:
        before, found = [], []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            truth = draw_faces(2000, rng)
            votes = rng.multinomial(10, truth).astype(float)
            n = people if several is None else np.where(rng.permutation(2000) < several*2000, 2, 1)
            counts = rng.multinomial(n, truth)
            probs = counts/counts.sum(1, keepdims=True)
            before.append(old_worth(probs, votes, 'mse', seed))
            ceiling = human_ceiling(predictions(probs, votes), ['mse'], reader='raw')
            found.append(ceiling.equivalence['mse'])
        yield row(f'mean vote of {people:g}', float(np.mean(before)),
                  float(np.mean([x.value for x in found])), people,
                  float(np.mean([covers(x, people) for x in found])))


def sharper_than_the_truth():
    "Truth to the power 1.2 minus the truth, on ten votes; below 0 if the metric prefers it."
    rng = np.random.default_rng(0)
    truth = draw_faces(20_000, rng)
    target = rng.multinomial(10, truth)/10
    sharp = truth**1.2/(truth**1.2).sum(1, keepdims=True)
    for metric in ['total_variation', 'js', 'l1', 'mse', 'kl']:
        compute = METRICS[metric].compute
        by_votes = compute(sharp, target)-compute(truth, target)
        by_truth = compute(sharp, truth)
        yield dict(setting=metric, by_votes=float(by_votes.mean()), by_truth=float(by_truth.mean()))


def seeds_and_faces():
    "How many intervals cover the truth: one standard deviation over seeds, and the crossed one."
    for seeds in [2, 3, 5]:
        for share, title in [(0., 'seeds alike'), (1., 'seeds matter as much as faces')]:
            rng, hits = np.random.default_rng(seeds), []
            for _ in range(1000):
                scores = rng.normal(size=200)+.7*rng.normal(size=(seeds, 200))
                scores += share*np.sqrt(seeds/200)*rng.normal(size=(seeds, 1))
                deviation = scores.mean(1).std(ddof=1)
                hits.append((abs(scores.mean()) <= deviation, covers(crossed_interval(scores), 0)))
            before, after = np.mean(hits, 0)
            yield row(f'{seeds} seeds, {title}', float(before), float(after), .95)


PROMISES = [votes_do_not_matter, hidden_people, part_of_a_person, mean_votes,
            sharper_than_the_truth, seeds_and_faces]


def rounded(value):
    "Four decimals; infinity as a text, which JSON lacks."
    if not isinstance(value, float):
        return value
    return round(value, 4) if np.isfinite(value) else str(value)


def main(names):
    "Run some simulations, or all, and write their rows."
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    known = {promise.__name__: promise for promise in PROMISES}
    for name in names or known:
        start = time.perf_counter()
        rows = [{k: rounded(v) for k, v in line.items()} for line in known[name]()]
        results[name] = rows
        print(f'{name}: {len(rows)} rows, {time.perf_counter()-start:.0f} s')
    results = {name: results[name] for name in known if name in results}
    lines = json.dumps(results, indent=1)+'\n'
    write_atomically(RESULTS, lambda file: file.write(lines.encode()))


if __name__ == '__main__':
    main(sys.argv[1:])
