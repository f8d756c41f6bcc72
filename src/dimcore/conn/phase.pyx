"""The phases of an exchange, which exclude each other: a table, phase x phase.

Beside its phase an exchange has facts, any number of which may hold; `phase.pxd` names both.
The layer of the point (`index/states.pyx`) is what an operator and the time limits see of it.
"""

PHASE_NAMES = ("reading", "greeting", "busy", "streaming", "upgraded", "lingering", "gone")
FACT_NAMES = ("working", "halted", "has answer", "unread", "peer done", "unframed", "close", "linger", "filtered")

# Rows by the phase before, columns by the one after; 1: there is a way.
PHASE_TABLE = (
    # rea gre bus str upg lin gon
    (1, 1, 1, 1, 1, 1, 1),    # reading
    (1, 0, 0, 0, 0, 0, 1),    # greeting
    (1, 0, 0, 0, 0, 0, 1),    # busy: its answer is given in *reading*
    (1, 0, 0, 0, 0, 0, 1),    # streaming
    (0, 0, 0, 0, 0, 1, 1),    # upgraded
    (0, 0, 0, 0, 0, 0, 1),    # lingering
    (0, 0, 0, 0, 0, 0, 1),    # gone
)

cdef int bits[PHASE_COUNT]           # a phase's number -> its bit
cdef int ways[PHASES + 1]            # a phase's bit -> the bits of those that may follow
cdef bint to_reading[PHASES + 1]


cdef int fill() except -1:
    cdef int before, after
    for before in range(1, PHASE_COUNT):
        bits[before] = 1 << (before - 1)
    for before in range(PHASE_COUNT):
        to_reading[bits[before]] = PHASE_TABLE[before][0]
        for after in range(1, PHASE_COUNT):
            if PHASE_TABLE[before][after]:
                ways[bits[before]] |= bits[after]
    return 0


fill()


cdef bint phase_may(int phase, int target) noexcept nogil:
    if phase & ~PHASES:
        return False
    return to_reading[phase] if target == READING else ways[phase] & target != 0


cdef str phase_name(int phase):
    for number in range(PHASE_COUNT):
        if bits[number] == phase:
            return PHASE_NAMES[number]
    return f"no phase ({phase})"
