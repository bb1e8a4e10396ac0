"""caikit's naming rules."""

import pytest

from remote_client._schema.caikit_names import method_name, short_method_name, snake_case, task_name

UNARY, OUT, IN, BIDI = (False, False), (False, True), (True, False), (True, True)


@pytest.mark.parametrize(
    ("rpc", "flags", "task"),
    [
        ("SampleTaskPredict", UNARY, "SampleTask"),
        ("ServerStreamingSampleTaskPredict", OUT, "SampleTask"),
        ("ClientStreamingSampleTaskPredict", IN, "SampleTask"),
        ("BidiStreamingSampleTaskPredict", BIDI, "SampleTask"),
        # Tasks that are called like prefixes: the flags decide.
        ("BidiStreamingTaskPredict", UNARY, "BidiStreamingTask"),
        ("BidiStreamingBidiStreamingTaskPredict", BIDI, "BidiStreamingTask"),
        ("ServerStreamingBidiStreamingTaskPredict", OUT, "BidiStreamingTask"),
        ("ServerStreamingTaskPredict", UNARY, "ServerStreamingTask"),
        ("StreamingTaskPredict", UNARY, "StreamingTask"),
        ("FooPredict", UNARY, "Foo"),
        ("SampleTaskStartPredictionJob", UNARY, None),
        ("SampleTaskSampleModuleTrain", UNARY, None),
        ("SampleTaskPredict", OUT, None),  # not caikit's way of naming a stream
        ("Predict", UNARY, None),
        ("predictModelSize", UNARY, None),
    ],
)
def test_task_of_an_rpc(rpc: str, flags: tuple[bool, bool], task: str | None) -> None:
    assert task_name(rpc, *flags) == task


@pytest.mark.parametrize(
    ("task", "flags", "name"),
    [
        ("SampleTask", UNARY, "run_sample"),
        ("SampleTask", OUT, "run_sample_stream_out"),
        ("SampleTask", IN, "run_sample_stream_in"),
        ("SampleTask", BIDI, "run_sample_bidi_stream"),
        ("GeoSpatialTask", UNARY, "run_geo_spatial"),
        ("BidiStreamingTask", UNARY, "run_bidi_streaming"),
        ("Foo", UNARY, "run_foo"),
        ("Task", UNARY, "run_task"),
        ("größe", OUT, "run_gr_e_stream_out"),
        ("x(print(1)or object)", UNARY, "run_x_print_1_or_object_"),
        ("NLPTask", UNARY, "run_n_l_p"),  # caikit's rule, as its HTTP routes have it
    ],
)
def test_method_of_a_task(task: str, flags: tuple[bool, bool], name: str) -> None:
    assert method_name(task, *flags) == name


def test_whole_and_short_names() -> None:
    assert method_name("SampleTask", *OUT, keep_suffix=True) == "run_sample_task_stream_out"
    names = [short_method_name(*flags) for flags in (UNARY, OUT, IN, BIDI)]
    assert names == ["run", "run_stream_out", "run_stream_in", "run_bidi_stream"]
    assert snake_case("A") == "a"
