"""Bounds on labels, and requests in kids mode."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core.policy import Request
from data.catalogue import LABEL
from serving import fakes, filters
from serving.config import ServingConfig
from serving.kids_mode import KidsMode, config_for_kids
from serving.recommender import Recommender
from serving.releases import by_label


@pytest.fixture
def catalogue():
    """Every fifth video is for kids; every fourth is clickbait."""
    plain, rows = fakes.catalogue(100), np.arange(100)
    labels = (pl.Series(LABEL + "kids", (rows % 5 == 0) * 0.9), pl.Series(LABEL + "clickbait", (rows % 4 == 0) * 0.95))
    return replace(plain, frame=plain.frame.with_columns(labels))


def recommender(catalogue, config):
    parts = fakes.parts(100, {1: []})
    return Recommender(replace(parts, config=config, filters=(*parts.filters, *by_label(catalogue, config))))


def request(name, **more):
    return Request(name, 1, fakes.NOW, k=8, **more)


def test_a_bound_hides_and_says_why(catalogue):
    config = replace(ServingConfig(), most_clickbait=0.9)
    (slate,) = recommender(catalogue, config).recommend([request("a")])
    assert len(slate.video_ids) == 8
    assert ((slate.video_ids - 1) % 4 != 0).all()
    (rule,) = by_label(catalogue, config)
    assert rule.reason == "clickbait"
    assert not rule.yields
    assert by_label(catalogue, ServingConfig()) == []


def test_without_labels_nothing_is_clickbait_and_nothing_is_for_kids():
    rows = np.arange(10, dtype=np.int32)[None]
    clickbait, kids = by_label(fakes.catalogue(10), replace(ServingConfig(), most_clickbait=0.5, least_kids=0.5))
    assert clickbait.keep(None, None, rows).all()
    assert not kids.keep(None, None, rows).any()
    assert filters.Labelled("", np.empty(0, dtype=bool)).keep(None, None, rows).shape == rows.shape


def test_only_requests_in_kids_mode_are_kept_to_it(catalogue):
    config = ServingConfig()
    policy = KidsMode(recommender(catalogue, config), lambda: recommender(catalogue, config_for_kids(config)))
    slates = policy.recommend([request("a"), request("b", kids=True), request("c"), request("d", kids=True)])
    assert [slate.request_id for slate in slates] == ["a", "b", "c", "d"]
    for slate in slates:
        for_kids = (slate.video_ids - 1) % 5 == 0
        assert for_kids.all() == (slate.request_id in "bd")
    assert len(slates[1].video_ids) == 8


def test_kids_mode_of_a_release_without_labels_shows_nothing():
    policy = KidsMode(None, lambda: recommender(fakes.catalogue(100), config_for_kids(ServingConfig())))
    (slate,) = policy.recommend([request("b", kids=True)])
    assert len(slate.video_ids) == 0
    assert slate.degraded
