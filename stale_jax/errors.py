"""What went wrong in words a user can act on."""


class UserError(Exception):
  """Bad input or a broken world: programs print it as one line and exit with code 2."""
