"""Byte classes and scanners of ``scan.h``, for the parsers and the writer."""

from libc.stdint cimport int8_t, uint8_t

cdef extern from "dimcore/text/scan.h" nogil:
    enum:
        SCAN_TOKEN
        SCAN_TARGET
        SCAN_HOST
        SCAN_HEX
        SCAN_DIGIT
    enum:
        FIELD_OTHER
        FIELD_HOST
        FIELD_CONTENT_LENGTH
        FIELD_TRANSFER_ENCODING
        FIELD_CONNECTION
        FIELD_EXPECT
        FIELD_UPGRADE
        FIELD_CONTENT_TYPE
        FIELD_AUTHORIZATION
    uint8_t scan_class[256]
    int8_t scan_hex[256]
    void scan_setup()
    size_t scan_run(const char *data, size_t size, uint8_t mask)
    size_t scan_target(const char *data, size_t size)
    size_t scan_value(const char *data, size_t size)
    bint scan_is_value(const char *data, size_t size)
    bint scan_is_token(const char *data, size_t size)
    bint scan_name_is(const char *name, const char *lower, size_t size)
    int scan_field_id(const char *name, size_t size)
