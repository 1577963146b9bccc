"""The C fields of the Structs that steps exchange, for the compiled modules that read them on every call.

msgspec keeps the fields of a Struct as slots, and those lie in the order of their names. `_values.pyx` proves that of
every class here when it is imported, so that another msgspec cannot make this untrue without a word.
"""

cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        PyObject *integrations, *ip, *key, *mode, *parent, *roles, *session, *tags, *tenant, *user;
    } TidegateCaller;
    typedef struct {
        PyObject_HEAD
        PyObject *action, *capture, *digest, *evidence, *guards, *limits, *max_output, *reasons, *redactions, *route,
            *shadow;
    } TidegateDecision;
    typedef struct {
        PyObject_HEAD
        PyObject *cost, *output_tokens, *prompt_kind, *prompt_tokens;
    } TidegateEstimate;
    typedef struct {
        PyObject_HEAD
        PyObject *client_left, *error, *reached, *status;
    } TidegateOutcome;
    typedef struct {
        PyObject_HEAD
        PyObject *code, *message, *rule;
    } TidegateReason;
    typedef struct {
        PyObject_HEAD
        PyObject *cache_write_1h_tokens, *cache_write_tokens, *cached_tokens, *input_audio_tokens, *input_image_tokens,
            *input_tokens, *kind, *output_audio_tokens, *output_image_tokens, *output_tokens, *reasoning_tokens,
            *service, *web_searches;
    } TidegateUsage;
    """
    ctypedef class tidegate.model.Caller [object TidegateCaller, check_size error]:
        cdef object tenant, mode, key, user, roles, ip, session, parent, tags, integrations

    ctypedef class tidegate.model.Decision [object TidegateDecision, check_size error]:
        cdef object action, reasons, limits, redactions, route, guards, capture, evidence, max_output, shadow, digest

    ctypedef class tidegate.model.Estimate [object TidegateEstimate, check_size error]:
        cdef object prompt_tokens, prompt_kind, output_tokens, cost

    ctypedef class tidegate.model.Outcome [object TidegateOutcome, check_size error]:
        cdef object status, error, client_left, reached

    ctypedef class tidegate.model.Reason [object TidegateReason, check_size error]:
        cdef object code, message, rule

    ctypedef class tidegate.model.Usage [object TidegateUsage, check_size error]:
        cdef object input_tokens, output_tokens, kind, cached_tokens, cache_write_tokens, cache_write_1h_tokens
        cdef object input_audio_tokens, input_image_tokens, reasoning_tokens, output_audio_tokens, output_image_tokens
        cdef object web_searches, service
