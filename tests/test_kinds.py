"""Every test is of one kind, by which it can be chosen: `pytest -m unit`."""


def test_every_test_is_of_one_kind(kinds):
  wrong = {test: found for test, found in kinds.items() if len(found) != 1}
  assert kinds and not wrong
