"""Simulations whose truth is known: what the statistics find, before and now.

    python .ci/simulations.py                  all of them, some minutes on one core
    python .ci/simulations.py hidden_people    these only; the rest of the file stays

Writes nbs/study/simulations.json, which nbs/simulations.ipynb shows. Functions called `old_...`
follow the rules that the library had until November 2026 (commit cc23735).
"""
import csv
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import entr, gammaln, softmax

from emotion_recognition.all import (
    FERPLUS8,
    METRICS,
    Predictions,
    calibration,
    calibration_error,
    compare,
    crossed_interval,
    entropy_gap,
    entropy_groups,
    expected_calibration_error,
    fit_crowd,
    holm,
    human_ceiling,
    mean_intervals,
    metrics_per_face,
    noise_corrected_metrics,
    permutation_p_values,
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


# ---- the earlier rules

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

def row(setting, before, after, truth, coverage=None, **more):
    "One line of a table."
    return dict(setting=setting, before=before, after=after, truth=truth, coverage=coverage, **more)


def covers(interval, truth):
    return interval.low <= truth <= interval.high


FACES, VOTES, REPEATS = 2000, 10, 20


def simulated(people, votes, seed):
    "Bayes answers from hidden people, and the votes of others about the same faces."
    rng = np.random.default_rng(seed)
    truth = draw_faces(FACES, rng)
    return answers(truth, people, rng), rng.multinomial(votes, truth).astype(float)


def repeated_row(setting, before, found, truth, **more):
    "Medians over repetitions, and how often the interval holds the truth."
    after = np.median([x.value for x in found])
    coverage = np.mean([covers(x, truth) for x in found])
    return row(setting, float(np.median(before)), float(after), truth, float(coverage), **more)


def votes_per_face():
    "The same model, judged by more and more votes; before by total variation, after by KL."
    for votes in [4, 10, 20, 40]:
        before, found = [], []
        for seed in range(REPEATS//4):
            probs, drawn = simulated(2, votes, seed)
            before.append(old_worth(probs, drawn, 'total_variation', seed))
            found.append(human_ceiling(predictions(probs, drawn), ['kl']).equivalence['kl'])
        yield repeated_row(f'{votes} votes a face', before, found, 2, votes=votes)


def hidden_people():
    "Exact Bayes answers from hidden people are worth as many."
    for votes in [4, 10, 40]:
        for people in [1, 2, 4]:
            data = [simulated(people, votes, seed) for seed in range(REPEATS)]
            ceilings = [human_ceiling(predictions(*d), ['kl', 'mse']) for d in data]
            for metric in ['kl', 'mse']:
                before = [old_worth(*d, metric) for d in data[:REPEATS//4]]
                found = [ceiling.equivalence[metric] for ceiling in ceilings]
                yield repeated_row(metric, before, found, people, votes=votes)


def part_of_a_person():
    "The answer of one person for a part of the faces, the mean of all for the rest."
    for part in [.25, .5, .75]:
        before, found = [], []
        for seed in range(REPEATS):
            probs, votes = simulated(1, VOTES, seed)
            asked = np.random.default_rng(seed).permutation(FACES)[:, None] < part*FACES
            mixed = np.where(asked, probs, COMMON)
            before.append(old_worth(mixed, votes, 'kl', seed))
            found.append(human_ceiling(predictions(mixed, votes), ['kl']).equivalence['kl'])
        yield repeated_row(f'one person for {part:.0%} of the faces', before, found, part)


def mean_votes():
    "The mean vote of further people, by squared error, if people are read as their mean vote."
    for title, people, with_two in [('1 or 2, error of 1.5', 1.5, 2/3), ('2', 2, 1.)]:
        before, found = [], []
        for seed in range(REPEATS):
            rng = np.random.default_rng(seed)
            truth = draw_faces(FACES, rng)
            votes = rng.multinomial(VOTES, truth).astype(float)
            counts = rng.multinomial(np.where(np.arange(FACES) < with_two*FACES, 2, 1), truth)
            probs = counts/counts.sum(1, keepdims=True)
            before.append(old_worth(probs, votes, 'mse', seed))
            ceiling = human_ceiling(predictions(probs, votes), ['mse'], reader='raw')
            found.append(ceiling.equivalence['mse'])
        yield repeated_row(f'mean vote of {title}', before, found, people)


def ferplus_votes(usage):
    "FER+'s votes for its eight emotions, of faces with ten of them, from fer2013new.csv."
    with open(os.environ['EMOREC_FER2013NEW'], newline='') as file:
        lines = [line for line in csv.reader(file) if line[0] in usage]
    votes = np.array([line[2:10] for line in lines], float)
    return votes[votes.sum(1) == 10]


def people_of_ferplus():
    "People taken out of FER+'s votes, and read by a crowd that was fitted to its training split."
    crowd = fit_crowd(ferplus_votes(['Training']))
    votes = ferplus_votes(['PublicTest', 'PrivateTest'])
    for people in [1, 2, 3, 5]:
        before, found = [], []
        for seed in range(REPEATS//4):
            hidden, others = split_votes(votes, people, np.random.default_rng(seed))
            probs = crowd.read(hidden.astype(float))
            before.append(old_worth(probs, others, 'kl', seed))
            found.append(human_ceiling(predictions(probs, others), ['kl']).equivalence['kl'])
        line = repeated_row(f'{people} of the ten people', before, found, people)
        yield dict(line, coverage=None) # the same faces each time


def repeatedly(votes):
    "True shares and drawn votes, so many for each face, again and again."
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        truth = draw_faces(FACES, rng)
        yield truth, rng.multinomial(votes, truth).astype(float)


def entropy_of_few_votes():
    "The entropy of the true shares minus people's entropy, which few votes hide."
    for votes in [5, 10, 50]:
        before, found = [], []
        for truth, drawn in repeatedly(votes):
            before.append((entr(truth)-entr(drawn/votes)).sum(1).mean())
            found.append(entropy_gap(predictions(truth, drawn)))
        yield repeated_row(f'{votes} votes a face', before, found, 0)


def one_truth():
    "Nats per vote, less people's entropy, less KL: 0 if all three are by the same truth."
    rng = np.random.default_rng(0)
    truth = draw_faces(FACES, rng)
    votes = rng.multinomial(VOTES, truth).astype(float)
    kept = np.where(votes > 1, votes, 0) # as a protocol of FER+ drops single votes
    kept = np.where(kept.sum(1, keepdims=True) > 0, kept, votes)
    judged = predictions(truth, votes, kept/kept.sum(1, keepdims=True))
    found = calibration(judged)
    rest = found.negative_log_likelihood-METRICS['kl'].compute(truth, judged.target).mean()
    few = entr(votes/VOTES).sum(1)+((votes > 0).sum(1)-1)/(2*VOTES) # Miller and Madow
    yield row('the truth, single votes dropped', float(rest-few.mean()),
              float(rest-found.votes_entropy), 0)


def calibration_of_ties():
    "A model that says .3 of 1,000 faces, and is right: the error depends on the file's order."
    hits = np.repeat([1., 0.], [300, 700])
    for title, target in [('hits first', hits),
                          ('in any order', np.random.default_rng(0).permutation(hits))]:
        same = np.full(1000, .3)
        yield row(title, float(old_calibration_error(same, target)),
                  float(expected_calibration_error(same, target)), 0)


def calibration_of_the_truth():
    "The true shares are calibrated; few faces make them look otherwise."
    for faces in [50, 500, 3500]:
        before, found = [], []
        for seed in range(5*REPEATS):
            rng = np.random.default_rng(seed)
            truth = draw_faces(faces, rng)
            target = rng.multinomial(VOTES, truth)/VOTES
            before.append(np.mean([old_calibration_error(*x) for x in zip(truth.T, target.T)]))
            found.append(calibration_error(truth, target))
        yield repeated_row(f'{faces:,} faces', before, found, 0)


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


def top1_of_few_faces():
    "How many intervals of 95 % hold the true accuracy: percentiles of the bootstrap, and Wilson's."
    for share, faces in [(.97, 20), (.97, 100), (.7, 20)]:
        rng, hits = np.random.default_rng(faces), []
        for _ in range(1000):
            right = (rng.random((faces, 1)) < share)*1.
            means = rng.binomial(faces, right.mean(), 400)/faces # of 400 resamples
            low, high = np.percentile(means, [2.5, 97.5])
            wilson, = mean_intervals(right, means[:, None])
            hits.append((low <= share <= high, covers(wilson, share)))
        before, after = np.mean(hits, 0)
        yield row(f'{share:.0%} right, {faces} faces', float(before), float(after), .95)


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

EARLIER_METRICS = ['mse', 'l1', 'total_variation', 'intersection', 'chebyshev', 'clark', 'canberra',
                   'cosine', 'kl', 'js', 'top1']


def each_metric_alone(models):
    "The smallest p-value if Holm corrects over the pairs of each metric alone, as before."
    per_face, p = [metrics_per_face(model, EARLIER_METRICS) for model in models], []
    i, j = np.triu_indices(len(models), 1)
    for metric in EARLIER_METRICS:
        values = np.array([face[metric] for face in per_face])
        p += list(holm(permutation_p_values((values[i]-values[j]).T, 999)))
    return min(p)


def equal_models():
    "How often a comparison of three models that are equally good finds a better one."
    alarms = []
    for seed in range(15*REPEATS):
        rng = np.random.default_rng(seed)
        truth = draw_faces(200, rng)
        votes = rng.multinomial(VOTES, truth).astype(float)
        models = [predictions(noisy(truth, rng), votes).named(name) for name in 'abc']
        found = compare(*models, names=EARLIER_METRICS, resamples=20, flips=999)
        after = any(d.better for d in found.differences)
        alarms.append((each_metric_alone(models) < .05, after))
    before, after = np.mean(alarms, 0)
    yield row('three models, eleven metrics', float(before), float(after), .05)


def noisy(truth, rng):
    "Shares that a model might give: the truth, its logits disturbed."
    return softmax(np.log(truth+.01)+rng.normal(scale=.5, size=truth.shape), 1)


def surest_quarter():
    "Entropy of the truth minus people's in the quarter of faces where it is lowest."
    for votes in [5, 10, 50]:
        before, found = [], []
        for truth, drawn in repeatedly(votes):
            entropy = entr(drawn/votes).sum(1)
            lowest = np.argsort(entropy, kind='stable')[:FACES//4]
            before.append((entr(truth).sum(1)-entropy)[lowest].mean())
            found.append(entropy_groups(predictions(truth, drawn)).rows[0][2])
        yield repeated_row(f'{votes} votes a face', before, found, 0)


def pooled_correlation(p, q):
    "Correlation of the shares [N,C] about their means, over all emotions."
    p, q = p-p.mean(0), q-q.mean(0)
    return (p*q).sum()/np.sqrt((p*p).sum()*(q*q).sum())


def distance_from_the_truth():
    "A model's scores against ten votes, what is left without their chance, and against the truth."
    scores = dict(mse=lambda p, q: METRICS['mse'].compute(p, q).mean(),
                  correlation=pooled_correlation)
    for name, score in scores.items():
        before, after, truths, held = [], [], [], []
        for seed in range(5*REPEATS):
            rng = np.random.default_rng(seed)
            truth = draw_faces(300, rng)
            judged = predictions(noisy(truth, rng), rng.multinomial(VOTES, truth).astype(float))
            found = noise_corrected_metrics(judged)[name]
            truths.append(score(judged.probs, truth))
            held.append(covers(found, truths[-1]))
            before.append(score(judged.probs, judged.target))
            after.append(found.value)
        means = [float(np.mean(x)) for x in (before, after, truths, held)]
        yield row(name, *means)



PROMISES = [votes_per_face, hidden_people, part_of_a_person, mean_votes,
            people_of_ferplus, sharper_than_the_truth, entropy_of_few_votes, one_truth,
            calibration_of_ties, calibration_of_the_truth, top1_of_few_faces,
            seeds_and_faces, equal_models, surest_quarter, distance_from_the_truth]


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
