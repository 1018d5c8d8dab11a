"""Questions to the system that sandboxes deny: no answer is worth an import or a call."""

# The questions that got no answer, with the error instead, for `relu-ext info`.
unanswered = {}


def ask(what, query, *arguments):
    """The answer of a query, or None, noted under the name `what`, if it raises anything."""
    try:
        return query(*arguments)
    except Exception as error:
        unanswered[what] = f"{type(error).__name__}: {error}"
        return None
