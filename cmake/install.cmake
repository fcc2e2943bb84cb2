# The installed tree: bin/nnc, lib/libnnc.so, include/nnc, and what pkg-config and find_package(nnc) need.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS libnnc EXPORT nnc LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} OPTIONAL
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS nnc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} OPTIONAL)
install(DIRECTORY include/nnc DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set_target_properties(nnc PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")

configure_file(cmake/nnc.pc.in nnc.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nnc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set_target_properties(libnnc PROPERTIES EXPORT_NAME nnc)
install(EXPORT nnc NAMESPACE nnc:: FILE nncTargets.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nnc)
file(WRITE ${PROJECT_BINARY_DIR}/nncConfig.cmake "include(\${CMAKE_CURRENT_LIST_DIR}/nncTargets.cmake)\n")
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nncConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nncConfig.cmake ${PROJECT_BINARY_DIR}/nncConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nnc)
