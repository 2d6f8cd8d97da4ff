"""The share of the test handwriting that was trained on is read from the training clips, within five points.

The audit (evaluation/contamination.py) is run on training clips with 0, 10, 30 and 100 % of the test
handwriting leaked, and is not told which. Value: the greatest absolute error of the estimated share. Bar:
.05.
"""


def measure(seed: int) -> dict:
  from stale_jax.data.sources.digits import Digits, handwriting
  from stale_jax.evaluation.contamination import leaked

  test, errors, estimates = len(handwriting("test")[1]), {}, {}
  print("Shares of the test digits; coverage: share of the leaked digits that the drawn clips contain.")
  print("leaked   estimate   std error   false positives   coverage")
  for leak in (0.0, 0.1, 0.3, 1.0):
    found = leaked(Digits(leak=leak, seed=seed), seed=seed)
    truth = round(leak * test) / test
    estimates[str(leak)], errors[leak] = found["estimate"], abs(found["estimate"] - truth)
    print(
      f"{truth:6.3f}{found['estimate']:11.3f}{found['standard_error']:12.3f}"
      f"{found['false_positives']:18.3f}{found['coverage']:11.3f}"
    )
  worst = max(errors.values())
  return {"value": worst, "bar": 0.05, "holds": worst <= 0.05, "estimates": estimates}
