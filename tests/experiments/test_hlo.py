"""Bytes of a compiled program, read from its text."""

import pytest
from load_script import load_script

hlo = load_script("hlo.py")

PROGRAM = """HloModule jit_step, is_scheduled=true

%fused (p: f32[4,256]) -> f32[4,256] {
  %p = f32[4,256]{1,0:T(4,128)} parameter(0)
  ROOT %inside = f32[4,256]{1,0:T(4,128)} add(%p, %p)
}

%body (carry: (s32[], f32[4,256])) -> (s32[], f32[4,256]) {
  %carry = (s32[], f32[4,256]{1,0:T(4,128)}) parameter(0)
  %x = f32[4,256]{1,0:T(4,128)} get-tuple-element(%carry), index=1
  %y = f32[4,256]{1,0:T(4,128)} fusion(%x), kind=kLoop, calls=%fused, metadata={op_name="jit(f)/a"}
  ROOT %next = (s32[], f32[4,256]{1,0:T(4,128)}) tuple(%x, %y)
}

ENTRY %main (a: bf16[3,20]) -> f32[4,256] {
  %a = bf16[3,20]{1,0:T(8,128)(2,1)} parameter(0)
  %b = bf16[3,20]{1,0:T(8,128)(2,1)} copy(%a)
  %fast = bf16[3,20]{1,0:T(8,128)(2,1)S(1)} copy(%b)
  %begin = (bf16[3,20]{1,0:T(8,128)(2,1)S(1)}, bf16[3,20]{1,0:T(8,128)(2,1)}) copy-start(%b)
  %part = ((bf16[3,20]{1,0:T(8,128)}), bf16[1,20]{1,0:T(8,128)(2,1)S(1)}, s32[]) slice-start(%b)
  %sum = f32[100]{0:T(128)} all-reduce(%b), replica_groups={{0,1}}, to_apply=%add
  %loop = (s32[], f32[4,256]) while(%start), body=%body, backend_config=TRIPS
}
""".replace("TRIPS", '{"known_trip_count":{"n":"7"}}')


@pytest.fixture
def found():
    return {one.name: one for one in hlo.instructions(PROGRAM)}


def test_tiles_are_filled_up_in_memory():
    # 3 x 20 in tiles of 8 x 128, two bytes each
    assert hlo.in_memory("bf16[3,20]{1,0:T(8,128)(2,1)}") == 8 * 128 * 2
    assert hlo.in_memory("bf16[3,20]{0,1:T(8,128)(2,1)}") == 24 * 128 * 2  # 3 is the fastest side
    assert hlo.in_memory("f32[5,7]") == 5 * 7 * 4
    assert hlo.payload("bf16[3,20]{1,0:T(8,128)(2,1)}") == 120
    assert hlo.payload("(f32[2]{0}, u8[3]{0}, s32[])") == 8 + 3 + 4


def test_an_instruction_moves_its_operands_and_its_result(found):
    assert found["b"].bytes == 2 * 2048


def test_what_is_on_the_chip_moves_nothing(found):
    assert found["fast"].bytes == 2048


def test_a_loop_moves_what_its_body_does_at_every_turn(found):
    assert found["y"].bytes == 7 * 2 * 4096
    assert found["y"].source == "jit(f)/a"


def test_what_a_fusion_computes_inside_moves_nothing(found):
    assert set(found) == {"b", "fast", "begin", "part", "sum", "y"}


def test_the_start_of_a_copy_reads_its_operand_once(found):
    """Its result is a tuple of the copy, here on the chip, and of the operand."""
    assert (found["begin"].bytes, found["begin"].payload) == (2048, 120)


def test_a_slice_reads_its_part_of_the_operand(found):
    """One row of 20 fills a tile of 8 x 128."""
    assert found["part"].bytes == 2048


def test_collectives_are_counted_with_their_results(found):
    assert hlo.collectives(list(found.values())) == {"all-reduce": (1, 400)}
