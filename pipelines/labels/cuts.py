"""Cuts: a group that is too large is parted where the fewest and weakest edges are.

The parts are the communities that Louvain's method finds in the graph of a group's
duplicate clusters (networkx.community.louvain_communities; Blondel et al. 2008), those that
are still too large parted again at twice the resolution. networkx is in pure Python and
under a BSD licence; igraph is faster, and under the GPL, which a build would carry along.
Clusters are never parted: duplicates are one piece.
"""

from collections.abc import Iterator, Sequence

import networkx as nx
import numpy as np

# A small corpus is not cut for the sake of a share.
MIN_CAP = 100


def cap_of(n_kept: int, max_group_share: float) -> int:
    """How many kept songs a group may have."""
    return max(MIN_CAP, int(n_kept * max_group_share))


def cut_groups(
    group: np.ndarray, cluster: np.ndarray, size: np.ndarray, graph: "Graph", cap: int
) -> np.ndarray:
    """The group of every song as the row of its first, groups of over `cap` kept songs
    parted.

    group, cluster: rows of first songs; size: kept songs of each song's own (0 or 1).
    """
    totals = np.bincount(group, size, len(group))
    result = group.copy()
    n_songs_of = np.bincount(cluster, size, len(cluster))
    for first in np.flatnonzero(totals > cap).tolist():
        songs = np.flatnonzero(group == first)
        part_of = np.zeros(len(cluster), np.int64)
        for number, clusters in enumerate(_parts(graph.of(songs), n_songs_of, cap)):
            part_of[clusters] = number
        _, begins, part = np.unique(
            part_of[cluster[songs]], return_index=True, return_inverse=True
        )
        result[songs] = songs[begins[part]]
    return result


class Graph:
    """What binds duplicate clusters: near pairs by their likeness, and keys, each a node of
    its own beside the clusters that have it."""

    def __init__(
        self,
        cluster: np.ndarray,
        near: tuple[np.ndarray, np.ndarray, np.ndarray],
        keys: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """cluster: of every song; near: songs, songs and weights of pairs; keys: songs and
        numbers of the sure keys they have."""
        left, right, weight = near
        song, key = keys
        self._cluster, self._song = cluster, np.concatenate([left, song])
        self._ends = np.concatenate([cluster[right], key + len(cluster)])
        self._weight = np.concatenate([weight, np.ones(len(song))])

    def of(self, songs: np.ndarray) -> nx.Graph:
        """The graph of one group's songs."""
        graph = nx.Graph()
        graph.add_nodes_from(np.unique(self._cluster[songs]).tolist())
        mine = np.isin(self._song, songs)
        ends = zip(
            self._cluster[self._song[mine]].tolist(),
            self._ends[mine].tolist(),
            self._weight[mine].tolist(),
            strict=True,
        )
        graph.add_weighted_edges_from(edge for edge in sorted(ends) if edge[0] != edge[1])
        # A key of one cluster binds nothing, and most keys are of one.
        n_songs = len(self._cluster)
        alone = [node for node in graph if node >= n_songs and graph.degree[node] < 2]
        graph.remove_nodes_from(alone)
        return graph


def _parts(
    graph: nx.Graph, n_songs_of: np.ndarray, cap: int, resolution: float = 1.0
) -> Iterator[Sequence[int]]:
    """The clusters of each part; of one cluster alone, whatever its size."""
    found = nx.community.louvain_communities(graph, resolution=resolution, seed=0)
    for nodes in sorted(map(sorted, found)):
        clusters = [node for node in nodes if node < len(n_songs_of)]
        if len(clusters) > 1 and n_songs_of[clusters].sum() > cap:
            yield from _parts(graph.subgraph(nodes), n_songs_of, cap, 2 * resolution)
        elif clusters:
            yield clusters
