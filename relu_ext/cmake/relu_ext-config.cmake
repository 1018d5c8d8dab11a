# Gives the target relu_ext::relu_ext. A target that links to it compiles relu_ext.c as one of
# its own sources and finds relu_ext.h; there is no library to load.
if(TARGET relu_ext::relu_ext)
  return()
endif()

# CMake passes over sources of a language that is off, and the linker finds no kernels.
get_property(_relu_ext_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if(NOT "C" IN_LIST _relu_ext_languages)
  set(relu_ext_FOUND FALSE)
  set(relu_ext_NOT_FOUND_MESSAGE
    "relu_ext.c is compiled as a part of your target: add C to the LANGUAGES of project()")
  return()
endif()
unset(_relu_ext_languages)

get_filename_component(_relu_ext_include "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
if(NOT EXISTS "${_relu_ext_include}") # a checkout that was never installed
  get_filename_component(_relu_ext_include "${CMAKE_CURRENT_LIST_DIR}/../../csrc" ABSOLUTE)
endif()

add_library(relu_ext::relu_ext INTERFACE IMPORTED)
set_target_properties(relu_ext::relu_ext PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "${_relu_ext_include}"
  INTERFACE_SOURCES "${_relu_ext_include}/relu_ext.c"
  INTERFACE_COMPILE_FEATURES c_std_11)
unset(_relu_ext_include)
