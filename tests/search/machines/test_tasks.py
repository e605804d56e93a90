import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from scattering.errors import InputError
from search.machines.tasks import AHEAD, on_ray

pytestmark = pytest.mark.slow


def double(number: int) -> int:
    return 2 * number


def slow_first(number: int) -> int:
    time.sleep(1.0 if number == 0 else 0.0)
    return number


def refuse(number: int) -> int:
    if number == 2:
        raise InputError(f"numbers must not be 2, got {number}")
    return number


def defect(number: int) -> int:
    raise ZeroDivisionError("ours")


def die(folder: Path, number: int) -> int:
    """Be killed at the first attempt, or at every one of number 7."""
    mark = folder / str(number)
    if number == 7 or not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def niceness(_: int) -> int:
    return os.nice(0)


def threads(_: int) -> tuple[str, int]:
    import torch

    return os.environ["OMP_NUM_THREADS"], torch.get_num_threads()


def note(folder: Path, number: int) -> int:
    (folder / str(number)).touch()
    time.sleep(0.5)
    return number


class Large:
    """Counts how often it is sent."""

    sent = 0

    def __getstate__(self) -> dict[str, object]:
        Large.sent += 1
        return {}


def with_large(_: Large, number: int) -> int:
    return number


def test_results_come_in_the_order_of_the_jobs(ray_session):
    assert list(on_ray(double, range(20))) == [2 * number for number in range(20)]
    assert list(on_ray(slow_first, range(6))) == list(range(6))
    assert list(on_ray(double, [])) == []


def test_few_jobs_are_taken_ahead(ray_session):
    import ray

    taken = []
    results = on_ray(double, (taken.append(number) or number for number in range(100)))
    next(results)
    assert len(taken) <= ray.cluster_resources()["CPU"] + AHEAD + 1
    results.close()


def test_what_the_user_is_to_read_comes_without_a_traceback(ray_session):
    results = on_ray(refuse, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError) as caught:
        next(results)
    assert str(caught.value) == "numbers must not be 2, got 2"


def test_our_own_defects_keep_their_traceback(ray_session):
    with pytest.raises(ZeroDivisionError, match="in defect"):
        list(on_ray(defect, range(2)))


def test_the_task_of_a_killed_worker_is_done_again(ray_session, tmp_path):
    assert list(on_ray(partial(die, tmp_path), range(3))) == [0, 1, 2]


def test_a_task_that_is_always_killed_is_given_up_in_one_line(ray_session, tmp_path):
    with pytest.raises(InputError, match="ended from outside again and again") as caught:
        list(on_ray(partial(die, tmp_path), [7]))
    assert "\n" not in str(caught.value)


def fail_once(folder: Path, number: int) -> int:
    """Find the disk full, at the first attempt."""
    mark = folder / str(number)
    if not mark.exists():
        mark.touch()
        raise OSError(28, "No space left on device")
    return number


def test_a_task_is_done_again_after_such_errors_as_pass(ray_session, tmp_path):
    assert list(on_ray(partial(fail_once, tmp_path), [1, 2], again=[OSError])) == [1, 2]
    with pytest.raises(OSError, match="No space left"):
        list(on_ray(partial(fail_once, tmp_path), [3]))


def test_a_task_has_one_thread(ray_session):
    assert list(on_ray(threads, [0])) == [("1", 1)]


def test_what_the_function_holds_is_sent_once(ray_session):
    before = Large.sent
    list(on_ray(partial(with_large, Large()), range(10)))
    assert Large.sent == before + 1


def test_closing_ends_what_runs(ray_session, tmp_path):
    results = on_ray(partial(note, tmp_path), range(50))
    next(results)
    results.close()
    time.sleep(1.5)
    begun = len(list(tmp_path.iterdir()))
    time.sleep(1.0)
    assert len(list(tmp_path.iterdir())) == begun < 20


def test_tasks_get_their_share_beside_another_program(ray_session):
    """Ray would lower their priority so far that one busy program leaves them a twentieth of a core."""
    assert list(on_ray(niceness, [0])) == [os.nice(0)]
