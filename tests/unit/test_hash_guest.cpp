// The tests of test_hash.cpp, linked with the guest's implementation.
#include "test_hash.cpp"
