"""What is not told of the patient: values that can be known for identity by what stands in the header.

Free text may say anything, and a name that is spelt differently, or an address, is not found. So nobody who reads what
is left may take it for de-identified.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from pydicom import Dataset

from sr_templates.reading_attributes import items_of, text_of

WITHHELD: Final = "withheld"

SUBJECT_CODES: Final = frozenset({"121028", "121029", "121030", "121031"})
"""Subject UID, name, ID and birth date (TID 1007): the patient is named in the tree too."""

DATE_CODES: Final = frozenset({"111018", "111060", "111526", "111527"})
"""Content Date, Study Date, DateTime Started and Ended; a date under any other concept may be one of the patient's."""

_NAMES: Final = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
_MOST_PARTS: Final = 64
_WHOLE_WORDS_BELOW: Final = 4
"""A shorter part is withheld as a word of its own only: "Li" is a name, and part of "slight"."""
_IDEOGRAPHIC: Final = 0x2E80
"""From here on scripts are written without spaces between words."""
_OWN_WORDS: Final = frozenset({"not", "analysed", "analysis", "failed"})
"""What a caution hangs on stays legible, even for a patient of such a name."""
_NOTHING_ELSE: Final = re.compile(rf"[\W_]*(?:{WITHHELD}[\W_]*)+")


class Withholding:
    """What to look for in the values of one document.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The document; its header names the patient.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._wanted = _pattern(dataset)

    def of_item(self, value_type: str, concept_code: str, value: str) -> str:
        """Value of a content item, without what is known for the patient's identity."""
        if concept_code in SUBJECT_CODES or value_type == "PNAME":
            return WITHHELD
        if value_type in ("DATE", "DATETIME") and concept_code not in DATE_CODES:
            return WITHHELD
        return self.of_text(value) if value_type == "TEXT" else value

    def of_text(self, value: str) -> str:
        """Free text, without parts of the patient's names, the ID and the birth date."""
        if self._wanted is None:
            return value
        plain, places = _plain(value)
        spans = [(places[found.start()], places[found.end() - 1] + 1) for found in self._wanted.finditer(plain)]
        told, end = "", 0
        for start, stop in spans:
            if start >= end:
                told += value[end:start] + WITHHELD
            end = max(end, stop)
        told += value[end:]
        return WITHHELD if spans and _NOTHING_ELSE.fullmatch(told) else told


def _plain(value: str) -> tuple[str, list[int] | range]:
    """Text without case and accents, and the place in `value` of each of its characters."""
    if value.isascii():
        return value.lower(), range(len(value))
    pairs = [(plain, place) for place, character in enumerate(value) for plain in _letters(character)]
    return "".join(plain for plain, _ in pairs), [place for _, place in pairs]


def _letters(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _pattern(dataset: Dataset) -> re.Pattern[str] | None:
    alternatives = dict.fromkeys((*_dates(dataset), *_ids(dataset), *_names(dataset)))
    return re.compile("|".join(alternatives)) if alternatives else None


def _names(dataset: Dataset) -> Iterator[str]:
    """Each component of each group of a name (PS3.5 6.2.1); initials are no names."""
    text, _ = _plain(" ".join(text_of(dataset, keyword) for keyword in _NAMES))
    parts = {part for part in re.split(r"[\W_]+", text) if len(part) > 1} - _OWN_WORDS
    for part in sorted(parts, key=lambda part: (-len(part), part))[:_MOST_PARTS]:
        within_words = len(part) >= _WHOLE_WORDS_BELOW or max(map(ord, part)) >= _IDEOGRAPHIC
        yield re.escape(part) if within_words else _as_word(re.escape(part))


def _ids(dataset: Dataset) -> Iterator[str]:
    """Each ID, whatever separates its characters."""
    others = (text_of(item, "PatientID") for item in items_of(dataset, "OtherPatientIDsSequence"))
    for identifier in (text_of(dataset, "PatientID"), *others):
        characters = re.sub(r"[\W_]+", "", _plain(identifier)[0])[:_MOST_PARTS]
        if characters:
            spelt = r"[-_./ ]?".join(map(re.escape, characters))
            yield spelt if len(characters) >= _WHOLE_WORDS_BELOW else _as_word(spelt)


def _dates(dataset: Dataset) -> Iterator[str]:
    """The birth date in any order of year, month and day."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", text_of(dataset, "PatientBirthDate"))
    if found is None:
        return
    year = found[1]
    month, day = (f"0?{number.lstrip('0')}" for number in found.groups()[1:])
    for parts in ((year, month, day), (day, month, year), (month, day, year)):
        yield rf"(?<!\d){'[-./ ]{0,2}'.join(parts)}(?!\d)"


def _as_word(pattern: str) -> str:
    return rf"(?<![^\W_]){pattern}(?![^\W_])"
