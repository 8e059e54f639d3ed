import numpy as np

from app import fakes
from app.cards import Cards
from core import columns as c
from data.catalogue import Catalogue

AT = 1_780_000_000_000


def cards():
    catalogue = Catalogue.of(fakes.videos(AT))
    return catalogue, Cards(catalogue)


def test_cards_follow_the_order_of_rows():
    catalogue, shown = cards()
    rows = np.array([5, 0, 5], dtype=np.int32)
    assert [card["video_id"] for card in shown.of(rows)] == catalogue.frame[c.EXTERNAL_ID][rows].to_list()
    assert shown.of(rows[:0]) == []


def test_categories_are_sorted_by_size():
    frame = fakes.videos(AT).head(27)
    found = Cards(Catalogue.of(frame)).categories()
    assert found == [{"name": "Chess", "num_videos": 20}, {"name": "Cooking", "num_videos": 7}]
    assert Cards(Catalogue.of(frame)).categories(limit=1) == found[:1]


def test_newest_leaves_out_what_is_not_uploaded_yet():
    catalogue, shown = cards()
    chess = catalogue.uploaded_at[:20]
    middle = int(np.median(chess))
    rows = shown.newest("Chess", middle, 100)
    assert len(rows) == (chess <= middle).sum()
    assert catalogue.uploaded_at[rows].tolist() == sorted(chess[chess <= middle], reverse=True)
