"""Connected components of a graph, for example of the videos that have names of their uploader in common."""

from collections.abc import Iterable


def groups(names: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
  """Finds the connected components of a graph with the union-find algorithm.

  Args:
    names: nodes, also those without edges.
    links: the edges, pairs of nodes.

  Returns:
    Name -> the alphabetically first name in its component.
  """
  parent = {name: name for name in names}

  def root(name: str) -> str:
    parent.setdefault(name, name)
    while parent[name] != name:
      parent[name] = name = parent[parent[name]]
    return name

  for a, b in links:
    low, high = sorted((root(a), root(b)))
    parent[high] = low
  return {name: root(name) for name in parent}
