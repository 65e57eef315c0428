import platform

from streaming.memory import keep_freed_memory


def test_glibc_takes_the_thresholds_and_another_library_is_left_alone():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
