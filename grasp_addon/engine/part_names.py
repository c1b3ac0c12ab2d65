"""What vertex groups are called and which part of an object each name means to the engine. Knows no bpy."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: The parts that the engine's intents know, by its own words for them.
PART_NAMES: Final = (
    "barrel", "bit", "blade", "bristles", "edge", "grip", "handle", "head", "jaws", "knob", "lens", "loop", "mouth",
    "nozzle", "scoop", "screen", "sole", "spout", "stem", "tip", "trigger", "vessel",
)
#: Other words for them, without accents; of the languages that many people model in.
SYNONYMS: Final = {
    "handle": "haft hilt lever griff henkel stiel poignee manche anse mango asa manija empunadura manico maniglia "
              "impugnatura cabo pega alca handvat handtag uchwyt ручка рукоять рукоятка 取っ手 持ち手 把手 手柄 柄 "
              "손잡이",
    "grip": "handgrip pistolgrip handgriff pistolengriff prise グリップ 握把",
    "trigger": "abzug ausloser gachette detente gatillo grilletto gatilho курок トリガー 引き金 扳机",
    "blade": "klinge lame hoja lama lamina лезвие клинок 刃 刀刃 刀身",
    "edge": "schneide tranchant filo taglio 刃先",
    "head": "kopf tete cabeza testa cabeca головка",
    "mouth": "rim lip rand offnung bouche bord boca borde bocca orlo 口 飲み口",
    "spout": "tulle schnabel bec pico pitorro beccuccio bico носик 注ぎ口 壶嘴",
    "tip": "spitze pointe punta ponta кончик 先端",
    "knob": "knauf pommeau perilla pomo pomello",
    "loop": "schlaufe ose boucle lazo anello",
    "stem": "stengel tige tallo gambo",
    "nozzle": "duse buse boquilla ugello",
    "lens": "linse objektiv lentille lente obiettivo レンズ",
    "screen": "display bildschirm ecran pantalla schermo tela экран 画面 屏幕",
    "sole": "sohle semelle suela suola",
    "scoop": "kelle laffe cuilleron",
    "jaws": "jaw backen machoire mordaza ganasce",
    "bristles": "bristle borsten poils cerdas setole",
    "bit": "bohrer meche broca",
}
_MEANING: Final = {name: name for name in PART_NAMES} | {
    word: part for part, words in SYNONYMS.items() for word in words.split()}
_ACCENTS: Final = re.compile("[\u0300-\u036f]")  # on Latin letters; Japanese voicing marks are others
#: those that are written without blanks, and so may stand in a longer word
_UNSPACED: Final = tuple(sorted((word for word in _MEANING if ord(word[0]) > 0x2E7F), key=len, reverse=True))


def part_index(group: str) -> int:
    """The place in PART_NAMES of what a vertex group's name means, -1 where it names no part.

    Case, accents, numbers and what Blender and people put around a word do not matter: "Handle.001", "GRIP_low",
    "PoignéeGauche", "mug handle". Of several words that mean a part the first does.
    """
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", group)))
    for word in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).casefold()):
        part = _MEANING.get(word) or _MEANING.get(word.removesuffix("s"))
        part = part or next((_MEANING[known] for known in _UNSPACED if known in word), "")
        if part:
            return PART_NAMES.index(part)
    return -1
