"""Which frames stay together."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattering.errors import InputError
from scattering.reading.locations import Location, stem
from scattering.reading.stacks import Stack
from scattering.survey.groups import frame_groups

REAL = Path(__file__).parents[3].parent / "shared" / "frames"


def stack(path, count=1, groups=None, names=None) -> Stack:
    path = Path(path)
    names = names or ([stem(path)] if count == 1 else [f"{stem(path)} {number}" for number in range(count)])
    nothing = ("",) * count
    return Stack(Location(path), (4, 4), np.dtype("u2"), tuple(names), tuple(groups or nothing), nothing, (path,))


def groups(*paths, rule=None) -> tuple[str, ...]:
    return frame_groups([stack(path) for path in paths], rule)


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["film_00001.cbf", "film_00002.cbf", "film_00010.cbf"], "film"),
        (["frame1.tif", "frame2.tif", "frame10.tif"], None),
        (["000001.tif", "000002.tif"], None),
        (["Lyso0675.edf", "Lyso0676.edf"], "Lyso"),
        (["a_scan2_0023.tif", "a_scan10_0001.tif"], "a"),
        (["jg_ds03_00001_00014.cbf", "jg_ds03_00002_00001.cbf"], "jg_ds03"),
        (["TT1_14keV_ai0.11deg_wa10.6_000001_WAXS.tif", "TT1_14keV_ai0.14deg_wa10.6_000001_WAXS.tif"],
         "TT1_14keV_WAXS"),
        (["pos1_31_1563.0s_RH1.396_x-1.500_th0.100_10.00s_1711351_waxs.tiff",
          "pos2_36_1641.3s_RH1.028_x-1.500_th0.100_10.00s_1711356_waxs.tiff"], "waxs"),
        (["b.0026", "b.0027"], "b"),
        (["Ölfilm_001.edf", "Ölfilm_002.edf"], "Ölfilm"),
    ],
)  # fmt: skip
def test_a_series_is_one_group(names, name):
    assert set(groups(*(f"/data/day/{file}" for file in names))) == {name or "day"}


@pytest.mark.parametrize(
    "names",
    [["a1.cbf", "a2.cbf", "a3.cbf", "a4.cbf"], ["TT1_001.tif", "TT3_001.tif"], ["water_1.tif", "buffer_1.tif"],
     ["sam22_000001.tiff", "sam27_000001.tiff"], ["one/film_1.cbf", "two/film_1.cbf"]],
)  # fmt: skip
def test_samples_are_groups_of_their_own(names):
    assert len(set(groups(*names))) == len(names)


def test_a_file_of_several_frames_is_a_group_and_its_parts_are_one():
    stacks = [stack("scan_1.h5", 3), stack("scan_1.h5", 2), stack("scan_2.h5", 2), stack("x/scan_2.h5", 2)]
    here = Path.cwd().name
    assert frame_groups(stacks) == ("scan_1",) * 5 + (f"{here}/scan_2",) * 2 + ("x/scan_2",) * 2


def test_what_the_file_says_goes_first():
    assert frame_groups([stack("a.h5", 3, ["film 1", "", "film 2"]), stack("b_1.cbf")]) == (
        "film 1",
        "a",
        "film 2",
        "b",
    )


WORD = st.text("abcXYZé", min_size=1, max_size=5)


@given(st.lists(WORD, min_size=1, max_size=4), st.data())
def test_names_that_differ_in_counters_never_part(words, data):
    def name(number: int) -> str:
        counted = [f"{word}_{data.draw(st.integers(0, 10**6))}" for word in words]
        return f"{'_'.join(counted)}_{data.draw(st.floats(-99, 99)):.3f}s_{number}.cbf"

    assert len(set(groups(*(name(number) for number in range(5))))) == 1


@given(st.lists(st.tuples(WORD, st.integers(0, 99)), min_size=1, max_size=8, unique=True))
def test_an_expression_and_a_table_agree(tmp_path_factory, files):
    paths = [f"{word}_{number}.cbf" for word, number in files]
    for column in (lambda path: path, lambda path: stem(Path(path))):
        table = tmp_path_factory.getbasetemp() / "groups.csv"
        lines = (f"{column(path)},{word}" for path, (word, _) in zip(paths, files, strict=True))
        table.write_text("\n".join(["name,group", *lines]), encoding="utf-8")
        assert (
            groups(*paths, rule=str(table)) == groups(*paths, rule=r"^([^_]+)_") == tuple(word for word, _ in files)
        )


def test_an_expression_is_searched_in_names_and_gives_its_first_group_or_all_it_matches():
    stacks = [stack("day/a.h5", 2, ["told"] * 2, ["a 0 film7_x", "a 1 film8_y"])]
    assert frame_groups(stacks, r"film\d") == ("film7", "film8")
    assert frame_groups(stacks, r"film(\d)_(.)") == ("7", "8")


@pytest.mark.parametrize("rule", [r"film_(\d+)x", r"(x)?film", "day"])
def test_a_frame_without_a_group_is_named(rule):
    with pytest.raises(InputError, match="for 2 of 2 frames, the first is 'film_1'"):
        groups("day/film_1.cbf", "day/film_2.cbf", rule=rule)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("name,group\nfilm_1,a\n", "for 1 of 2 frames, the first is 'film_2'"),
        ("file,sample\nfilm_1,a\n", "under a header"),
        ("name,group\nfilm_1\n", "under a header"),
        ("name,group\nfilm_1,a\nfilm_1,b\n", "must have one group"),
        ("", "for 2 of 2 frames"),
        (b"\xff\xfe\x00", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(content, match, tmp_path):
    path = tmp_path / "groups.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=match) as caught:
        groups("film_1.cbf", "film_2.cbf", rule=str(path))
    assert "\n" not in str(caught.value)


def test_an_expression_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"regular expression or a \.csv file, got '\('"):
        groups("a.cbf", rule="(")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real detector frames are not part of the repository")
def test_the_series_among_the_real_frames_stay_whole():
    names = []
    for path in sorted(REAL.glob("*.h5")):
        with h5py.File(path) as file:
            names += [f"{path.stem}/{Path(name).name}" for name in file["names"].asstr()[()]]
    found = dict(zip(names, groups(*names), strict=True))
    for known in (
        r"jg_gisaxs_4nm",
        r"map_\d+_P1",
        r"giwaxs1_s087",
        r"300kw/TC_TT1",
        "300kw/TC_TT3",
        "mda_cms/",
        "BSA_1",
    ):
        together = {group for name, group in found.items() if re.search(known, name)}
        assert len(together) == 1, known
    assert len(set(found.values())) > 50


def test_parts_of_a_series_are_one_group_also_without_their_master():
    parts = [stack("day/insulin_data_000001.h5", 3), stack("day/insulin_data_000002.h5", 1)]
    assert set(frame_groups(parts)) == {"insulin"}
    master = [
        stack("day/scan_1_master.h5", 3),
        stack("day/scan_2_master.h5", 3),
        stack("day/scan_2_data_000001.h5", 3),
    ]
    assert frame_groups(master) == ("scan_1",) * 3 + ("scan_2",) * 6


def test_a_file_of_one_frame_in_two_formats_stays_in_its_series():
    assert len(set(groups("film_1.cbf", "film_1.tif", "film_2.cbf"))) == 1


def test_a_folder_has_one_name():
    assert len(set(groups("film_1.cbf", str(Path("film_2.cbf").resolve()), "../x/../film_3.cbf"))) == 2
    assert len(set(groups("day/film_1.cbf", str(Path("day/film_2.cbf").resolve()), "day/x/../film_3.cbf"))) == 1


def test_blanks_in_a_table_are_no_part_of_names(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("name,group\nfilm_1 , a\n film_2,a\n")
    assert groups("film_1.cbf", "film_2.cbf", rule=str(table)) == ("a", "a")
    table.write_text("name,group\nfilm_1, \n")
    with pytest.raises(InputError, match="must have a name and a group"):
        groups("film_1.cbf", rule=str(table))
