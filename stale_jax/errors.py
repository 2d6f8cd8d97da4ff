"""The error that tells the user what to do."""


class UserError(Exception):
  """Invalid input, or a failure of the environment; programs print it as one line and exit with code 2."""
