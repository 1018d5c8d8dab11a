"""What came out of a run: its JSON file, and the statistics everything shown is made of."""

import json
import statistics
from dataclasses import dataclass, fields

from bench.cases import Case
from bench.contenders import ROOFS

FORMAT = 1
BEST_COPY = "best_copy"


@dataclass(frozen=True)
class Spread:
    """The median of some rounds and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


class Results:
    """The run that the dict `data` describes, which is what the JSON file holds."""

    def __init__(self, data):
        self.data = data
        self.cases = {_case(row): row for row in data["cases"]}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"{path} is not a results file of this version of the benchmark")
        return cls(data)

    def save(self, path):
        """As JSON with one line a case."""
        head = {key: value for key, value in self.data.items() if key != "cases"}
        lines = ",\n".join(json.dumps(_rounded(row)) for row in self.data["cases"])
        text = json.dumps(head, indent=1)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'{text[:-2]},\n "cases": [\n{lines}\n]}}\n')

    def label(self, name):
        """A contender's name for people."""
        return self.data["labels"].get(name, name)

    def names(self, peers_only=False):
        """The contenders other than relu_ext, in their order; the C copies as the best one."""
        names = [name for name in self.data["labels"] if name not in ("relu_ext", BEST_COPY)]
        measured = {name for row in self.data["cases"] for name in row["seconds"]}
        if peers_only:
            return [name for name in names if name in self.data["peers"] and name in measured]
        names = [name for name in names if name not in ROOFS and name in measured]
        return names + ([BEST_COPY] if measured & set(ROOFS) else [])

    def rounds(self, case, name):
        """Seconds per call in each round; None if it did not take part."""
        seconds = self.cases[case]["seconds"]
        if name == BEST_COPY:
            name = self.best_copy(case)
        return seconds.get(name)

    def best_copy(self, case):
        """The fastest of the C copies in that case."""
        seconds = self.cases[case]["seconds"]
        roofs = [name for name in ROOFS if name in seconds]
        return min(roofs, key=lambda name: statistics.median(seconds[name]), default=None)

    def seconds(self, case, name):
        rounds = self.rounds(case, name)
        return Spread.of(rounds) if rounds else None

    def speed(self, case, name):
        """GB/s of bytes read plus bytes written."""
        seconds = self.seconds(case, name)
        return case.bytes / seconds.median / 1e9 if seconds else None

    def ratio(self, case, name):
        """How many times longer it took than relu_ext, in the same rounds."""
        rounds, reference = self.rounds(case, name), self.rounds(case, "relu_ext")
        if not rounds or not reference:
            return None
        return Spread.of([a / b for a, b in zip(rounds, reference)])


def _case(row):
    return Case(**{field.name: row[field.name] for field in fields(Case)})


def _rounded(row):
    seconds = {
        name: [float(f"{value:.4g}") for value in values] for name, values in row["seconds"].items()
    }
    return row | {"seconds": seconds}
