"""Statements that the driver runs itself do what SQLAlchemy's own do, in both kinds of database."""

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from signoff.checkpoints.db.prepared import Lookup, Prepared
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import people

ADD = Prepared(insert(people))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 500, 1201])
def test_a_lookup_finds_as_many_as_there_are(ledger: Ledger, count: int) -> None:
    names = [f"p{number}" for number in range(count)]
    with ledger.write() as connection:
        ADD.run_for(connection, [{"name": name, "role": "r"} for name in (*names, "another")])
        found = Lookup(select(people.c.name), people.c.name).rows(connection, names)
        sums = Lookup(select(people.c.role, func.count()).group_by(people.c.role), people.c.name)
        counted = sum(number for _, number in sums.rows(connection, names))
    assert sorted(name for (name,) in found) == sorted(names)
    assert counted == count


def test_what_no_database_takes_is_written_as_sqlalchemy_writes_it(ledger: Ledger) -> None:
    odd = "a\x00b \ud800 'x' %s :name ?"
    with ledger.write() as connection:
        ADD.run(connection, name=odd, role="ours")
        connection.execute(insert(people).values(name=odd, role="theirs"))
        rows = connection.execute(select(people.c.name)).scalars().all()
    assert len(rows) == 2
    assert len(set(rows)) == 1


def test_an_error_of_the_driver_is_sqlalchemys_without_the_values(ledger: Ledger) -> None:
    with ledger.write() as connection:
        ADD.run(connection, name="ada", role="secret")
    with ledger.write() as connection, pytest.raises(IntegrityError) as caught:
        ADD.run(connection, name="ada", role="secret")
    assert "INSERT" not in str(caught.value)
    assert caught.value.orig is not None
