from core import moves
from core.moves import Move


def test_moves_are_read_back_in_order_and_a_torn_line_is_passed_over(tmp_path):
    assert moves.read(tmp_path) == []
    first, second = (
        Move(1, "live", None, "a1", "ann", "trained"),
        Move(2, "live", "a1", "b2", "ben", "why", {"data": "pass"}, ()),
    )
    moves.append(tmp_path, first)
    with (tmp_path / moves.FILE).open("a") as file:
        file.write('{"at": 3, "pointer": "li')
    moves.append(tmp_path, second)
    assert [made.to_json() | {"waivers": ()} for made in moves.read(tmp_path)] == [first.to_json(), second.to_json()]
