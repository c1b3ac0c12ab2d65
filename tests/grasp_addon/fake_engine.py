"""A hand of tubes made here, MANO's joints and skinning in numpy, and an engine that answers with its poses."""

from __future__ import annotations

import itertools
import time

import numpy as np

from grasp_addon.engine.types import Candidate, HandShape
from grasp_addon.naming import PARENTS, TIP_OF_LAST_JOINT
from grasp_addon.transforms import matrices_from_quaternions

RING = 8
TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)


def tube_hand(side: str = "right", length: float = 0.19) -> HandShape:
    """Fingers along -x, back of the hand +y, thumb toward +z, as the embedded hand; the left mirrored in x."""
    joints, tips = np.zeros((16, 3)), np.zeros((5, 3))
    for first, tip, z, reach in ((1, 1, 0.022, 0.088), (4, 2, 0.0, 0.09), (10, 3, -0.02, 0.085), (7, 4, -0.04, 0.078)):
        direction = np.array([-1.0, 0.0, 1.5 * z])
        direction /= np.linalg.norm(direction)
        joints[first] = (-reach, 0.004, z)
        joints[first + 1] = joints[first] + 0.045 * direction
        joints[first + 2] = joints[first + 1] + 0.027 * direction
        tips[tip] = joints[first + 2] + 0.025 * direction
    thumb = np.array([-0.65, -0.38, 0.66])
    joints[13:16] = [(-0.02, -0.01, 0.02) + thumb * t for t in (0.0, 0.045, 0.078)]
    tips[0] = joints[15] + 0.026 * thumb
    vertices, weights, quads = [], [], []
    turn = np.linspace(0, 2 * np.pi, RING, endpoint=False)
    for chain in ([0, 1, 2, 3], [0, 4, 5, 6], [0, 7, 8, 9], [0, 10, 11, 12], [0, 13, 14, 15]):
        ends = [*(joints[j] for j in chain), tips[TIP_OF_LAST_JOINT[chain[-1]] - 16]]
        for place, joint in enumerate(chain):
            along = (ends[place + 1] - ends[place]) / np.linalg.norm(ends[place + 1] - ends[place])
            side_way = np.cross(along, [0, 1, 0])
            for share in (0.1, 0.5, 0.9):
                centre = ends[place] + share * (ends[place + 1] - ends[place])
                start = len(vertices)
                for angle in turn:
                    vertices.append(centre + 0.008 * (np.cos(angle) * side_way + np.sin(angle) * np.cross(side_way,
                                                                                                          along)))
                    row = np.zeros(16)
                    near = chain[min(place + 1, 3)] if share > 0.5 else chain[max(place - 1, 0)]
                    row[joint] += 0.65
                    row[near] += 0.35
                    weights.append(row)
                if place or share > 0.1:
                    quads += [[start - RING + i, start - RING + (i + 1) % RING, start + (i + 1) % RING, start + i]
                              for i in range(RING)]
    scale = length / np.linalg.norm(tips[2] - joints[0])
    mirror = np.diag([-1.0 if side == "left" else 1.0, 1, 1]) * scale
    quads = np.array(quads)[:, ::-1] if side == "left" else np.array(quads)
    return HandShape(side, np.array(vertices) @ mirror, joints @ mirror, tips @ mirror, np.array(weights), quads,
                     np.tile([[0.0, 0], [1, 0], [1, 1], [0, 1]], (len(quads), 1)))


def skinned(shape: HandShape, rest: np.ndarray, quaternions: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """MANO's linear blend skinning in float64: what core hands over as a candidate's vertices."""
    turns = matrices_from_quaternions(quaternions)
    chain: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        local[:3, 3] = shape.joints[joint] - turns[joint] @ shape.joints[joint]
        chain.append(local if parent < 0 else chain[parent] @ local)
    blended = np.einsum("vj,jab->vab", shape.weights, np.array(chain))
    return np.einsum("vab,vb->va", blended, np.pad(rest, ((0, 0), (0, 1)), constant_values=1))[:, :3] + translation


def random_candidates(shape: HandShape, count: int, seed: int = 0) -> list[Candidate]:
    """Random poses, wrists turned anywhere, each with its own correctives."""
    rng = np.random.default_rng(seed)
    found = []
    for place in range(count):
        turns = rng.normal(size=(16, 4)) * 0.25
        turns[:, 0] = 1.0
        turns[0] = rng.normal(size=4)
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        rest = shape.vertices + rng.normal(size=shape.vertices.shape) * 0.003 * shape.length
        move = rng.normal(size=3) * shape.length
        found.append(Candidate(rest, turns, move, skinned(shape, rest, turns, move), 1.0 - place / (count + 1),
                               "medium_wrap" if place % 2 else "tripod", {"overlap_cm3": 0.1, "contacts": 5.0}))
    return found


def near_candidates(shape: HandShape, count: int, turns: np.ndarray, move: np.ndarray) -> list[Candidate]:
    """Poses around one: the first is it, the others each a little further away."""
    return [Candidate(shape.vertices, near, further, skinned(shape, shape.vertices, near, further), 1.0 - place / count,
                      "tripod", {"overlap_cm3": 0.1})
            for place in range(count)
            for near, further in ((turns + [[0, 0.02 * place, 0, 0]], move + 0.01 * place * shape.length),)]


class FakeEngine:
    """Answers as the worker does, at once; `fails` makes generate and fit answer with an error."""

    alive = True
    imagining = ({"name": "dreams", "label": "Dreams", "imagines": True},)

    note = ""  # of its results

    def __init__(self, count: int | None = None, fails: str = "") -> None:
        self.count, self.fails, self.sent, self.waiting = count, fails, [], []
        self.ids = itertools.count(1)

    def send(self, message: dict, arrays: dict | None = None) -> int:
        number = next(self.ids)
        self.sent.append((message, arrays))
        head = {"id": number}
        if message["type"] == "hello":
            shape = tube_hand(message["side"])
            self.waiting.append(({**head, "type": "result", "side": message["side"], "version": "0", "python": "3",
                                  "torch": "2", "devices": ["cpu"], "types": [],
                                  "methods": [{"name": "synthesis", "label": "Synthesis", "fits": True},
                                              {"name": "jointdiffusion", "label": "JointDiffusion"},
                                              {"name": "dvqvae", "label": "DVQ-VAE", "keeps": True},
                                              *self.imagining]},
                                 {"template": shape.vertices, "rest_joints": shape.joints, "tips": shape.tips,
                                  "weights": shape.weights, "quads": shape.polygons, "uvs": shape.uvs}))
        elif message["type"] in ("generate", "fit"):
            if self.fails:
                self.waiting.append(({**head, "type": "error", "message": self.fails}, {}))
                return number
            shape = tube_hand(message["side"], message["hand_length"])
            count = message["count"] if self.count is None else self.count
            found = random_candidates(shape, count, message["seed"])
            if message["type"] == "fit":
                found = near_candidates(shape, count, arrays["rotations"][0], arrays["translation"][0])
            for one in reversed(found):
                self.waiting.append(({**head, "type": "candidate", "score": one.score, "grasp_type": one.type,
                                      "measures": one.measures},
                                     {"rest_vertices": one.rest_vertices, "rotations": one.rotations,
                                      "translation": one.translation, "vertices": one.vertices}))
            order = np.arange(len(found), dtype=np.int32)[::-1]
            self.waiting.append(({**head, "type": "result", "note": self.note}, {"order": order} if self.note else {}))
        elif message["type"] == "imagine":
            found = random_candidates(tube_hand(message["side"], message["hand_length"]), message["count"],
                                      message["seed"])
            for place, one in enumerate(found):
                vertices = 0.02 * (place + 1) * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
                self.waiting.append(({**head, "type": "imagined", "score": one.score, "grasp_type": one.type,
                                      "measures": one.measures},
                                     {"rest_vertices": one.rest_vertices, "rotations": one.rotations,
                                      "translation": one.translation, "vertices": one.vertices,
                                      "object_vertices": vertices, "object_faces": TETRAHEDRON}))
            self.waiting.append(({**head, "type": "result"}, {}))
        elif message["type"] == "cancel":
            target = message["target"]
            self.waiting = [reply for reply in self.waiting if reply[0]["id"] != target]
            self.waiting.append(({"id": target, "type": "result", "cancelled": True}, {}))
        return number

    def poll(self) -> list[tuple[dict, dict]]:
        waiting, self.waiting = self.waiting, []
        return waiting

    def close(self) -> None:
        self.alive = False


class SlowEngine(FakeEngine):
    """The same, a candidate each 0.4 s, so that progress can be watched."""

    def poll(self) -> list[tuple[dict, dict]]:
        if not self.waiting or time.monotonic() < getattr(self, "next", 0.0):
            return []
        self.next = time.monotonic() + 0.4
        message, arrays = self.waiting.pop(0)
        left = sum(m["type"] == "candidate" for m, _ in self.waiting)
        return [({"id": message["id"], "type": "progress", "stage": "Closing the fingers", "fraction": 1 / (1 + left)},
                 {}), (message, arrays)]
